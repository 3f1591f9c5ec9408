"""The linear completion of a skull: fills a hole, preserves observed bone, and is mirror-symmetric."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from calvaria.geometry.grid import Grid
from calvaria.reconstruction.coarse.completion import Completion
from calvaria.reconstruction.coarse.network import ReconstructionNetwork, network_input
from calvaria.storage.tensors import read_tensors, write_tensors
from calvaria.training.folding import unfold
from calvaria.training.loop import trainable
from calvaria.training.weights import restore, weights

GRID = Grid((24, 32, 24), 7.5)
MODES = 24  # more than 12 skulls and their mirror images have
HOLE = (slice(14, 21), slice(11, 20), slice(15, 24))  # of the right side of the vault


def shells(count: int, seed: int) -> torch.Tensor:
    """Return (n, 1, x, y, z) closed asymmetric shells of different sizes and thicknesses."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(GRID.centres(axis) for axis in range(3)), indexing="ij")
    masks = []
    for _ in range(count):
        axes, thickness = rng.uniform([60, 76, 58], [74, 92, 72]), rng.uniform(12, 17)
        (right, front), lop = rng.uniform(-4, 4, 2), rng.uniform(-0.08, 0.08)
        outer, inner = (
            (1 + lop * np.sign(x)) * ((x - right) / a) ** 2 + ((y - front) / b) ** 2 + ((z + 8) / c) ** 2
            for a, b, c in (axes, axes - thickness)
        )
        masks.append((outer <= 1) & (inner > 1) & (z > -50))
    return torch.from_numpy(np.stack(masks)).float()[:, None]


def a_completion(skulls: torch.Tensor, patch: int = 2, modes: int = MODES) -> Completion:
    completion = Completion(GRID.shape, patch, modes)
    completion.start(skulls)
    return completion


def opened(skulls: torch.Tensor) -> torch.Tensor:
    """Return the skulls with the hole."""
    defective = skulls.clone()
    defective[:, :, *HOLE] = 0
    return defective


def in_blocks(skulls: torch.Tensor, patch: int) -> torch.Tensor:
    """Return the skulls averaged over blocks."""
    pooled = functional.avg_pool3d(skulls, patch)
    return functional.interpolate(pooled, scale_factor=patch, mode="trilinear", align_corners=False)


def mean_of(completion: Completion) -> torch.Tensor:
    """Return the completion without observations: the mean skull."""
    mean = completion.mean.view(1, 1, *completion.blocks)
    return functional.interpolate(mean, scale_factor=completion.patch, mode="trilinear", align_corners=False)


def error(guess: torch.Tensor, truth: torch.Tensor, where: torch.Tensor) -> float:
    """Return the root mean square error over the voxels that may be bone."""
    return float((guess - truth)[where.expand_as(truth)].square().mean().sqrt())


def places(skulls: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return masks of possible bone: within the hole, and more than a block away from it."""
    bone, hole, near = (torch.zeros(1, 1, *GRID.shape, dtype=torch.bool) for _ in range(3))
    bone |= skulls.amax(0, keepdim=True) > 0
    hole[:, :, *HOLE] = True
    near[:, :, *(slice(part.start - 3, part.stop + 3) for part in HOLE)] = True
    return bone & hole, bone & ~near


@pytest.fixture(scope="module")
def skulls() -> torch.Tensor:
    return shells(12, seed=0)


@pytest.fixture(scope="module")
def others() -> torch.Tensor:
    """Skulls to which no model was fitted."""
    return shells(3, seed=1)


@pytest.fixture(scope="module")
def completion(skulls) -> Completion:
    return a_completion(skulls)


@pytest.mark.parametrize(("patch", "share"), [(1, 0.05), (2, 0.5)])
def test_a_mixture_of_known_skulls_is_completed_across_a_hole(skulls, patch, share):
    """More observed blocks give more information, so the mean's error becomes a smaller share."""
    completion = a_completion(skulls, patch)
    shares = torch.tensor([0.5, 0.3, 0.2])[:, None, None, None, None]
    mixture = (skulls[:3] * shares).sum(0, keepdim=True)
    guess, truth = completion(opened(mixture)), in_blocks(mixture, patch)
    for where in places(skulls):
        assert error(guess, truth, where) < 0.02
        assert error(guess, truth, where) < share * error(mean_of(completion), truth, where)


def test_an_unknown_skull_is_guessed_in_the_hole_much_better_than_by_the_mean(completion, skulls, others):
    hole, _ = places(skulls)
    guess, truth = completion(opened(others)), in_blocks(others, 2)
    assert error(guess, truth, hole) < 0.1
    assert error(guess, truth, hole) < 0.5 * error(mean_of(completion), truth, hole)


def test_what_is_known_is_hardly_changed(completion, skulls, others):
    _, rest = places(skulls)
    truth = in_blocks(others, 2)
    assert error(completion(opened(others)), truth, rest) < 0.08
    assert error(completion(others), truth, rest) < 0.08
    assert error(torch.zeros_like(truth), truth, rest) > 0.4  # the variation to be explained


def test_a_hole_hardly_changes_the_guess(completion, skulls, others):
    """Missing bone does not bias the completion, near the hole or far from it."""
    hole, rest = places(skulls)
    assert error(completion(opened(others)), completion(others), hole) < 0.02
    assert error(completion(opened(others)), completion(others), rest) < 0.01


def test_the_guess_is_a_share_of_bone_and_none_where_no_skull_has_any(completion, others):
    guess = completion(opened(others))
    assert guess.shape == others.shape
    assert (guess >= 0).all()
    assert (guess <= 1).all()
    nobody = (mean_of(completion) == 0).expand_as(guess)
    assert nobody.float().mean() > 0.5
    assert guess[nobody].max() < 1e-6
    assert guess[~nobody].max() > 0.8


def test_a_mirrored_skull_is_guessed_mirrored(completion, others):
    """This holds although no training skull is symmetric and the hole is on one side."""
    guess = completion(opened(others))
    assert torch.allclose(completion(opened(others).flip(2)), guess.flip(2), atol=1e-5)
    assert (guess - guess.flip(2)).abs().max() > 0.3


def test_every_skull_of_a_batch_is_guessed_as_if_alone(completion, others):
    together = completion(opened(others))
    for skull, guess in zip(opened(others), together, strict=True):
        assert torch.allclose(completion(skull[None]), guess[None], atol=1e-5)


def test_fewer_skulls_than_components_are_enough(skulls):
    """Two skulls and their mirror images have three components; the others are zero."""
    completion = a_completion(skulls[:2], modes=MODES)
    lengths = completion.components.norm(dim=1)
    assert torch.allclose(lengths[:3], torch.ones(3), atol=1e-4)
    assert not lengths[3:].any()
    hole, rest = places(skulls)
    guess, truth = completion(opened(skulls[:2])), in_blocks(skulls[:2], 2)
    assert error(guess, truth, hole) < 0.01
    assert error(guess, truth, rest) < 0.01


def test_a_skull_that_comes_twice_and_is_symmetric_does_no_harm(skulls):
    symmetric = torch.maximum(skulls[:1], skulls[:1].flip(2))
    completion = a_completion(torch.cat([symmetric, symmetric]))
    guess, truth = completion(opened(symmetric)), in_blocks(symmetric, 2)
    assert (guess - truth).abs().max() < 1e-3


def test_components_are_those_of_greatest_variance(skulls):
    """With fewer components than skulls, the first ones are kept with correct variances."""
    few, all_of_them = a_completion(skulls, modes=5), a_completion(skulls)
    assert torch.allclose(few.components, all_of_them.components[:5], atol=1e-5)
    rows = functional.avg_pool3d(torch.cat([skulls, skulls.flip(2)]), 2).flatten(1)
    along = (rows - few.mean) @ few.components.T
    assert torch.allclose(few.variances, along.var(0, correction=0), rtol=1e-3)
    assert (few.variances.diff() < 0).all()


def test_saved_and_restored_it_guesses_the_same(completion, others, tmp_path):
    write_tensors(tmp_path / "model.safetensors", weights(completion, "completion"))
    again = Completion(GRID.shape, 2, MODES)
    restore(again, read_tensors(tmp_path / "model.safetensors"), "completion", torch.device("cpu"))
    assert torch.equal(again(opened(others)), completion(opened(others)))


def test_in_half_precision_as_exported_it_guesses_nearly_the_same(completion, skulls, others):
    twice = a_completion(skulls[[0, 0, 1, 1]])
    for one in (completion, twice):
        again = Completion(GRID.shape, 2, MODES)
        again.load_state_dict({name: value.half().float() for name, value in one.state_dict().items()})
        assert torch.allclose(again(opened(others)), one(opened(others)), atol=0.01)


def test_it_guesses_in_full_precision_where_the_networks_do_not(completion, others):
    with torch.autocast("cpu", torch.bfloat16):
        guess = completion(opened(others))
    assert torch.equal(guess, completion(opened(others)))


def test_the_network_sees_the_guess_of_the_bone_that_is_left_and_does_not_train_it(completion, others):
    torch.manual_seed(0)
    network = ReconstructionNetwork(2, 2, (8, 8, 16), completion=completion)
    assert trainable(network) == trainable(network.enter, network.down, network.up, network.heads)
    seen = []
    network.enter.register_forward_pre_hook(lambda module, inputs: seen.append(unfold(inputs[0], 2)))
    labels = opened(others[:2])[:, 0].to(torch.uint8) + 2 * (others[:2] - opened(others[:2]))[:, 0].byte()
    network(network_input(labels, mirror=True))
    assert torch.equal(seen[0][:, :1], opened(others[:2]))
    assert torch.equal(seen[0][:, 2:], completion(opened(others[:2])))
