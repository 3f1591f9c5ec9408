"""The inputs and targets of every training step are those that the arm's config specifies."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from calvaria.config import Config, parse
from calvaria.geometry.grid import IMPLANT
from calvaria.reconstruction.coarse import training as trainer
from calvaria.reconstruction.coarse.augmentation import apply_changes
from calvaria.reconstruction.coarse.network import ReconstructionNetwork, network_input, network_target
from calvaria.reconstruction.coarse.training import Member, training
from calvaria.storage.paths import Run
from calvaria.storage.store import write_json, write_shard
from calvaria.training.loop import MicroBatch, train
from tests.conftest import ROOT

CPU = torch.device("cpu")
STEPS, BATCH = 3, 4
STILL = {"probability": 1, "flips": [], "rotate_deg": 0, "translate_voxels": 0, "crop": 0, "edge_noise": 0}
ARMS = {
    "plain": "none",
    "extreme": "extreme",
    "half": {**STILL, "scale": [0.5, 0.5]},
    "never": {**STILL, "scale": [0.5, 0.5], "probability": 0},
}


def config_with(**more: object) -> Config:
    raw = yaml.safe_load((ROOT / "tests" / "end_to_end" / "tiny.yaml").read_text())
    raw["train"]["optimiser"] |= {
        "steps": STEPS,
        "batch_size": BATCH,
        "accumulate": more.pop("accumulate", 1),
    }
    raw["train"]["fresh_defects"] = more.pop("fresh_defects", False)
    raw["train"]["arms"] = {
        arm: {"families": {"real": 1}, "geometric": geometric} for arm, geometric in ARMS.items()
    }
    return parse({**raw, **more}, "tiny")


@pytest.fixture(scope="module")
def cases() -> np.ndarray:
    """(6, x, y, z) uint8 skulls of six sizes, each with a part of the right side as its implant."""
    grid = config_with().grid.voxels()
    x, y, z = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    made = []
    for number, size in enumerate((0.85, 0.9, 0.95, 1.0, 1.05, 1.1)):
        r = np.sqrt((x / 65) ** 2 + (y / 85) ** 2 + (z / 65) ** 2) / size
        labels = ((r > 0.82) & (r < 1) & (z > -55)).astype(np.uint8)
        labels[(labels > 0) & (x > 8) & (z > 10) & (abs(y - 5 * number) < 25)] = IMPLANT
        made.append(labels)
    return np.stack(made)


def a_run(run: Run, cases: np.ndarray) -> Run:
    """Write the files that a training reads; the last case is the validation cohort."""
    grid, count = config_with().grid.voxels(), len(cases)
    skulls = (cases > 0).astype(np.uint8)
    write_shard(run.ingest, 0, count, count, grid, skulls, [{"id": f"s{n}"} for n in range(count)])
    write_shard(run.inject("real"), 0, count - 1, count - 1, grid, cases[:-1], [{}] * (count - 1))
    write_shard(run.inject("validation"), 0, 1, 1, grid, cases[-1:], [{}])
    rows = run.ingest.rows()
    write_json(run.split, {"training": rows[:-1], "validation": rows[-1:], "test": []})
    return run


@pytest.fixture(scope="module")
def run(cases, tmp_path_factory) -> Run:
    return a_run(Run(tmp_path_factory.mktemp("run")), cases)


@pytest.fixture
def seen(monkeypatch) -> list[torch.Tensor]:
    """The inputs of the network during training, in order."""
    inputs: list[torch.Tensor] = []
    level_logits = ReconstructionNetwork.level_logits

    def spy(network: ReconstructionNetwork, shown: torch.Tensor) -> list[torch.Tensor]:
        inputs.append(shown.clone())
        return level_logits(network, shown)

    monkeypatch.setattr(ReconstructionNetwork, "level_logits", spy)
    return inputs


@pytest.fixture
def expected(monkeypatch) -> list[torch.Tensor]:
    """The targets of the network during training, in order."""
    targets: list[torch.Tensor] = []
    loss = trainer.supervised_loss

    def spy(answers: list[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        targets.append(target.clone())
        return loss(answers, target)

    monkeypatch.setattr(trainer, "supervised_loss", spy)
    return targets


def learn(run: Run, config: Config, arm: str, *steps: int) -> None:
    """Run the update of the training in these steps without changing the weights."""
    (update,) = training(Member(run, config, arm, 0), CPU).updates
    for step in steps:
        update.loss(step, 0, MicroBatch())


def differing(one: torch.Tensor, other: torch.Tensor) -> int:
    """Return how many cases of two batches differ."""
    return sum(not torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("fresh", [False, True], ids=["stored", "fresh"])
@pytest.mark.parametrize("arm", ["plain", "extreme"])
def test_the_network_sees_and_learns_what_augmentation_makes_of_the_batch(run, seen, expected, arm, fresh):
    config = config_with(fresh_defects=fresh)
    learn(run, config, arm, *range(STEPS))
    assert len(seen) == len(expected) == STEPS
    for step, (shown, target) in enumerate(zip(seen, expected, strict=True)):
        labels, changes = Member(run, config, arm, 0).batch(step)
        assert len(changes) == (BATCH if arm == "extreme" else 0)
        moved = apply_changes(labels, changes) if changes else labels
        assert torch.equal(shown, network_input(moved, config.train.mirror))
        assert torch.equal(target, network_target(moved, config.train.predicts))


def test_an_arm_with_augmentation_sees_the_same_cases_as_the_one_without_but_moved(run, seen, expected):
    config = config_with()
    learn(run, config, "plain", *range(STEPS))
    learn(run, config, "extreme", *range(STEPS))
    for step in range(STEPS):
        batches = [Member(run, config, arm, 0).batch(step)[0] for arm in ("plain", "extreme")]
        assert torch.equal(*batches)
        assert differing(seen[step], seen[step + STEPS]) == BATCH
        assert differing(expected[step], expected[step + STEPS]) >= BATCH - 1  # some lose little of the base


def test_the_network_sees_heads_of_half_the_size_if_the_config_says_so(run, seen):
    config = config_with()
    for arm in ("plain", "half", "never"):
        learn(run, config, arm, 0)
    plain, half, never = seen
    assert torch.equal(never, plain)
    for whole, small in zip(plain[:, 0], half[:, 0], strict=True):
        sizes = [torch.argwhere(bone > 0) for bone in (whole, small)]
        before, after = (found.amax(0) - found.amin(0) + 1 for found in sizes)
        assert (2 * after - before).abs().max() <= 3


@pytest.mark.parametrize("loaders", [0, 2])
@pytest.mark.parametrize("arm", ["plain", "extreme"])
def test_parts_together_are_the_whole_batch(run, seen, expected, arm, loaders):
    config = config_with(loaders=loaders)
    learn(run, config, arm, 0, 1)
    (update,) = training(Member(run, config, arm, 0), CPU).updates
    for step in (0, 1):
        for index in (0, 1):
            update.loss(step, 0, MicroBatch(index, 2))
    for inputs in (seen, expected):
        assert [len(one) for one in inputs] == [BATCH] * 2 + [BATCH // 2] * 4
        assert torch.equal(torch.cat(inputs[2:4]), inputs[0])
        assert torch.equal(torch.cat(inputs[4:6]), inputs[1])
        assert not torch.equal(inputs[0], inputs[1])


@pytest.mark.parametrize("fresh", [False, True], ids=["stored", "fresh"])
def test_the_same_step_gives_the_same_input_whenever_it_comes(run, seen, expected, fresh):
    """This includes resumed trainings and any number of loaders."""
    learn(run, config_with(fresh_defects=fresh), "extreme", 0, 1, 2, 2)
    learn(run, config_with(fresh_defects=fresh, loaders=3), "extreme", 2)
    learn(run, config_with(fresh_defects=fresh, loaders=0), "extreme", 2)
    for inputs in (seen, expected):
        for again in inputs[3:]:
            assert torch.equal(again, inputs[2])
        assert differing(inputs[0], inputs[1]) == differing(inputs[1], inputs[2]) == BATCH


def test_the_training_loop_shows_every_step_whole(run, seen, tmp_path):
    """There are two passes per step, from the first to the last step."""
    config = config_with(accumulate=2)
    member = Member(run, config, "extreme", 0)
    job = replace(member.job, log=tmp_path / "steps.jsonl", checkpoint=tmp_path / "scratch" / "c")
    train(training(member, CPU), job, CPU)
    assert len(seen) == 2 * STEPS
    for step in range(STEPS):
        moved = apply_changes(*member.batch(step))
        assert torch.equal(
            torch.cat(seen[2 * step : 2 * step + 2]), network_input(moved, config.train.mirror)
        )


def test_networks_of_an_arm_see_different_batches(run):
    config = config_with()
    first, second = (Member(run, config, "extreme", seed).batch(0) for seed in (0, 1))
    assert not torch.equal(apply_changes(*first), apply_changes(*second))


def test_validation_cases_are_neither_augmented_nor_given_new_defects(run, cases, monkeypatch):
    shown: list[torch.Tensor] = []
    forward = ReconstructionNetwork.forward

    def spy(network: ReconstructionNetwork, inputs: torch.Tensor) -> torch.Tensor:
        shown.append(inputs.clone())
        return forward(network, inputs)

    monkeypatch.setattr(ReconstructionNetwork, "forward", spy)
    trained = training(Member(run, config_with(fresh_defects=True), "extreme", 0), CPU)
    assert trained.validate is not None
    with torch.inference_mode():
        trained.validate()
    bone = network_input(torch.from_numpy(cases[-1:]), mirror=True)
    allowed = [bone, bone.flip(2)]
    assert shown
    assert all(any(torch.equal(one, each) for each in allowed) for batch in shown for one in batch.split(1))


def test_a_skull_gets_another_implant_every_time_with_fresh_defects(cases, seen, expected, tmp_path):
    """Implants differ between steps and within a batch; the skull stays unchanged."""
    alone = a_run(Run(tmp_path), cases[[0, 5]])
    learn(alone, config_with(fresh_defects=True), "plain", *range(STEPS))
    skull = torch.from_numpy(cases[0] > 0).float()
    implants = torch.cat(expected)[:, 0]
    assert all(
        torch.equal(bone + implant, skull)
        for bone, implant in zip(torch.cat(seen)[:, 0], implants, strict=True)
    )
    assert implants.flatten(1).sum(1).min() > 0
    assert len({implant.numpy().tobytes() for implant in implants}) == STEPS * BATCH


def test_a_skull_keeps_its_implant_without_fresh_defects(cases, expected, tmp_path):
    alone = a_run(Run(tmp_path), cases[[0, 5]])
    learn(alone, config_with(), "plain", *range(STEPS))
    stored = torch.from_numpy(cases[0] == IMPLANT).float()
    assert all(torch.equal(implant, stored) for implant in torch.cat(expected)[:, 0])
