"""The training loop: resumed and distributed trainings give the same result, and divergence is an error."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from calvaria.config import Config, Optimiser, parse
from calvaria.errors import CalvariaError
from calvaria.storage.store import read_rows
from calvaria.training import checkpoint
from calvaria.training.estimate import estimate
from calvaria.training.loop import (
    DivergedError,
    MicroBatch,
    Training,
    TrainingJob,
    Update,
    remove_checkpoint,
    train,
    trainable,
)
from tests.conftest import ROOT

STEPS = 12
CPU = torch.device("cpu")


def parse_tiny() -> Config:
    return parse(yaml.safe_load((ROOT / "tests" / "end_to_end" / "tiny.yaml").read_text()), "tiny")


@pytest.fixture
def config() -> Config:
    return parse_tiny().model_copy(update={"checkpoint_s": 0.0})  # a checkpoint after every step


def place_in(directory: Path, config: Config, **settings: object) -> TrainingJob:
    raw = {"steps": STEPS, "batch_size": 4, "learning_rate": 0.05, "validate_every": 3}
    return TrainingJob(
        title="fit x",
        identity="i",
        log=directory / "steps.jsonl",
        checkpoint=directory / "scratch" / "checkpoint.safetensors",
        config=config,
        settings=Optimiser(**{**raw, **settings}),
    )


def two_players(stop_at: int | None = None, broken_at: int | None = None) -> Training:
    """Return a training of two alternating networks, as in a GAN; it can be interrupted or diverge."""
    torch.manual_seed(3)
    first, second = torch.nn.Linear(5, 5), torch.nn.Linear(5, 1)
    data = torch.from_numpy(np.random.default_rng(0).standard_normal((40, 5), np.float32))

    def batch(step: int, part: MicroBatch) -> torch.Tensor:
        return part.of(data[np.random.default_rng([7, step]).integers(40, size=4)])

    def lower_first(step: int, turn: int, part: MicroBatch) -> dict[str, torch.Tensor]:
        if step == stop_at:
            raise KeyboardInterrupt
        loss = second(first(batch(step, part))).square().mean()
        return {"loss": loss * (float("nan") if step == broken_at else 1)}

    def lower_second(step: int, turn: int, part: MicroBatch) -> dict[str, torch.Tensor]:
        loss = (second(first(batch(step, part))) - 1).square().mean()
        return {"loss": loss, "twice": 2 * loss}

    return Training(
        networks={"first": first, "second": second},
        updates=(
            Update("first", trainable(first), lower_first),
            Update("second", trainable(second), lower_second, turns=2, betas=(0.0, 0.9)),
        ),
        averaged=first,
        fingerprint="data",
        validate=lambda: float((first(data) - 0.3).square().mean()),
    )


def outcome(trained: Training) -> list[bytes]:
    return [value.numpy().tobytes() for value in trained.averaged.state_dict().values()]


def test_an_interrupted_training_ends_with_the_same_bits(config, tmp_path):
    whole = two_players()
    wanted = train(whole, place_in(tmp_path / "whole", config), CPU)
    place = place_in(tmp_path / "cut", config)
    with pytest.raises(KeyboardInterrupt):
        train(two_players(stop_at=7), place, CPU)
    resumed = two_players()
    assert train(resumed, place, CPU) == wanted
    assert outcome(resumed) == outcome(whole)
    assert place.log.read_bytes() == (tmp_path / "whole" / "steps.jsonl").read_bytes()
    remove_checkpoint(place)
    assert not place.checkpoint.exists()


@pytest.mark.parametrize("change", ["identity", "data", "damaged"])
def test_a_checkpoint_of_another_training_is_not_resumed(config, tmp_path, caplog, change):
    place = place_in(tmp_path, config)
    with pytest.raises(KeyboardInterrupt):
        train(two_players(stop_at=7), place, CPU)
    other = two_players()
    if change == "identity":
        place = replace(place, identity="j")
    elif change == "data":
        other = replace(other, fingerprint="other")
    else:
        place.checkpoint.write_bytes(place.checkpoint.read_bytes()[:-9])
    caplog.set_level("INFO")
    train(other, place, CPU)
    assert "resumed" not in caplog.text
    assert ("ignoring unusable checkpoint" in caplog.text) == (change == "damaged")
    assert [row["step"] for row in read_rows(place.log)] == list(range(1, STEPS + 1))


def test_a_non_finite_loss_stops_with_a_message_and_keeps_the_last_good_weights(config, tmp_path):
    place = place_in(tmp_path, config)
    with pytest.raises(DivergedError, match="fit x: first loss is nan at step 6; lower the learning rate"):
        train(two_players(broken_at=5), place, CPU)
    with pytest.raises(KeyboardInterrupt):
        train(two_players(stop_at=5), place_in(tmp_path / "good", config), CPU)
    found, wanted = (
        checkpoint.load(folder / "scratch" / place.checkpoint.name, f"i data torch {torch.__version__}")
        for folder in (tmp_path, tmp_path / "good")
    )
    assert found[0] == wanted[0]
    assert found[0].step == 5
    assert found[1].keys() == wanted[1].keys()
    assert all(torch.equal(value, wanted[1][name]) for name, value in found[1].items())


def test_a_non_finite_validation_keeps_the_raw_weights_too(config, tmp_path):
    place = place_in(tmp_path, config, validate_every=5)
    with pytest.raises(DivergedError, match="fit x: validation is nan"):
        train(replace(two_players(), validate=lambda: float("nan")), place, CPU)
    with pytest.raises(KeyboardInterrupt):
        train(two_players(stop_at=5), place_in(tmp_path / "good", config), CPU)
    found, expected = (
        checkpoint.load(folder / "scratch" / place.checkpoint.name, f"i data torch {torch.__version__}")[1]
        for folder in (tmp_path, tmp_path / "good")
    )
    best = {name for name in expected if name.startswith("best.")}
    assert found.keys() == expected.keys() - best
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_a_batch_in_parts_teaches_the_same(config, tmp_path):
    whole, parts = two_players(), two_players()
    train(whole, place_in(tmp_path / "whole", config), CPU)
    train(parts, place_in(tmp_path / "parts", config, accumulate=4), CPU)
    for one, other in zip(whole.averaged.parameters(), parts.averaged.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_training_stops_when_validation_no_longer_improves(config, tmp_path):
    figures = iter([3.0, 1.0, 2.0, 2.0, 0.5])
    place = place_in(tmp_path, config, validate_every=1, patience=2)
    position = train(replace(two_players(), validate=lambda: next(figures)), place, CPU)
    assert (position.step, position.best_step, position.best, position.stopped) == (4, 2, 1.0, True)


def test_the_best_weights_are_kept_and_they_are_the_average(config, tmp_path):
    seen = []
    trained = two_players()

    def validate() -> float:
        seen.append(outcome(trained))
        return abs(len(seen) - 2)  # the second validation is the best

    position = train(replace(trained, validate=validate), place_in(tmp_path, config), CPU)
    assert position.best_step == 6
    assert outcome(trained) == seen[1]


def test_the_estimate_counts_all_weights_and_takes_time():
    found = estimate(two_players(), parse_tiny(), 1, CPU)
    assert found.parameters == 5 * 5 + 5 + 5 + 1
    assert found.seconds_per_step > 0
    assert found.peak_bytes > 50e6
    assert "36 parameters" in found.text(1000)


def test_tensorboard_that_is_not_installed_is_said(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    place = place_in(tmp_path, config.model_copy(update={"tensorboard": True}))
    with pytest.raises(CalvariaError, match="pip install tensorboard"):
        train(two_players(), place, CPU)


SHARED = """
import sys, torch
from pathlib import Path
from tests.unit.test_learning import CPU, outcome, parse_tiny, place_in, two_players
from calvaria.training.loop import train
from calvaria.training.workers import is_main
config = parse_tiny().model_copy(update={"processes": 2})
trained = two_players()
train(trained, place_in(Path(sys.argv[1]), config), CPU)
if is_main():
    torch.save([p.tolist() for p in trained.averaged.parameters()], Path(sys.argv[1]) / "weights.pt")
"""


def test_two_processes_learn_what_one_does(tmp_path):
    script = tmp_path / "shared.py"
    script.write_text(SHARED)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launcher, script, tmp_path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    alone = two_players()
    train(alone, place_in(tmp_path / "alone", parse_tiny()), CPU)
    shared = torch.load(tmp_path / "weights.pt", weights_only=True)
    for one, other in zip(alone.averaged.parameters(), shared, strict=True):
        torch.testing.assert_close(one, torch.tensor(other), rtol=1e-4, atol=1e-5)
    rows, others = (read_rows(folder / "steps.jsonl") for folder in (tmp_path, tmp_path / "alone"))
    assert len(rows) == STEPS
    assert rows[0]["first loss"] == pytest.approx(others[0]["first loss"], rel=1e-5)
