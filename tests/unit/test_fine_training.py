"""Examples of the fine training depend only on their keys, and exclude the skull's own surfaces."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from calvaria.geometry.grid import BONE
from calvaria.geometry.resample import resample
from calvaria.reconstruction.coarse.network import ReconstructionNetwork
from calvaria.reconstruction.fine.inputs import Frame
from calvaria.reconstruction.fine.interpolation import surface_distances
from calvaria.reconstruction.fine.training import (
    Example,
    ExampleGenerator,
    FineLoss,
    FineValidation,
    Skull,
)
from calvaria.skull.pose import find_pose
from calvaria.skull.vault import find_vault
from calvaria.training.loop import MicroBatch
from tests.unit.heads import head
from tests.unit.models import small_config

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def generator() -> ExampleGenerator:
    config = small_config(refine=True)
    frame = Frame.of(config)
    masks = []
    for seed in (1, 2):
        scan = head(seed, 4.0)
        pose = find_pose(scan.labels, scan.affine).to_box(np.array([0.0, 0.0, frame.anchor_mm]))
        labels = resample((scan.labels == BONE).astype(np.uint8), scan.affine, pose, frame.fine)
        masks.append((labels > 0).astype(np.uint8))
    known = surface_distances([frame.vault_image(mask) for mask in masks])
    skulls = [Skull(mask, find_vault(mask, frame.fine), number) for number, mask in enumerate(masks)]
    return ExampleGenerator(config, frame, skulls, known)


@pytest.fixture(scope="module")
def example(generator) -> Example:
    return generator.example(generator.skulls[0], "case", 0, 0)


def leaky(generator: ExampleGenerator, changed: int) -> ExampleGenerator:
    """Return the generator with modified surfaces of one of the known skulls."""
    known = generator.known.copy()
    known[changed] += 5
    return replace(generator, known=known)


def test_an_example_is_a_function_of_its_keys_and_never_of_the_surfaces_of_its_skull(generator, example):
    """Its own surfaces would leak the target into the input."""
    skull = generator.skulls[0]
    for tensor, again in zip(example, leaky(generator, 0).example(skull, "case", 0, 0), strict=True):
        assert torch.equal(tensor, again)
    other, _ = leaky(generator, 1).example(skull, "case", 0, 0)
    assert torch.equal(other[:, :2], example[0][:, :2])
    assert not torch.equal(other, example[0])
    inputs, target = example
    assert inputs.shape == (1, 4, *target.shape[2:])
    assert target.any()
    assert not (target.bool() & inputs[:, :1].bool()).any()


def test_loss_and_validation_error_are_those_of_the_examples(example):
    """The network adds nothing to the interpolated vault, which is close to the truth."""
    network = ReconstructionNetwork(4, 2, (8, 8, 16)).eval()
    torch.nn.init.zeros_(network.heads[0].weight)
    wrong = (example[0], torch.zeros_like(example[1]))
    loss, worse = (
        FineLoss(network, lambda _, pair=pair: pair, CPU)(0, 0, MicroBatch())["loss"].item()
        for pair in (example, wrong)
    )
    assert loss < worse
    error = FineValidation(network, [example], CPU)()
    assert 0 < error < 1
    assert FineValidation(network, [wrong], CPU)() == 1
    assert FineValidation(network, [example, wrong], CPU)() == pytest.approx((error + 1) / 2)
