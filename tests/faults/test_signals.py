"""Ctrl-C and SIGTERM end a command with one line and the exit code of the signal."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from calvaria.storage.paths import Run
from calvaria.storage.store import read_rows
from tests.end_to_end.conftest import environment

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
LIMIT_S = 300


def copied(reference: Run, where: Path, **changes: object) -> Run:
    """Copy a run in which everything is fitted, with another config."""
    run = Run(where / "run")
    shutil.copytree(reference.root, run.root, ignore=shutil.ignore_patterns("sample", "vae.zarr"))
    config = yaml.safe_load(run.config.read_text())
    for key, value in changes.items():
        config[key] = config.get(key, {}) | value if isinstance(value, dict) else value
    run.config.write_text(yaml.safe_dump(config))
    return run


def started(stage: str, run: Run) -> subprocess.Popen[str]:
    line = ["calvaria", stage, "--run", str(run.root), "--family", "vae"]
    return subprocess.Popen(line, env=environment(), stderr=subprocess.PIPE, text=True)


def stopped(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """Send the signal and return the output of the command."""
    process.send_signal(number)
    _, said = process.communicate(timeout=LIMIT_S)
    assert process.returncode == SIGNALS[number], said
    assert said.splitlines()[-1] == f"calvaria: stopped by {number.name}; run the same command again to go on"
    assert "Traceback" not in said
    return said


def test_a_training_that_is_stopped_loses_no_step_and_ends_with_the_same_bits(calm, tmp_path):
    """Checkpoints are an hour apart, so training resumes from the checkpoint written at the signal."""
    run = copied(calm[0], tmp_path, checkpoint_s=3600.0)
    directory = run.fit("vae")
    expected = (directory / "model.safetensors").read_bytes()
    shutil.rmtree(directory)
    log, done = directory / "steps.jsonl", 0
    for number in SIGNALS:
        process = started("fit", run)
        deadline = time.monotonic() + LIMIT_S
        while not log.is_file() or len(read_rows(log)) < done + 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        said = stopped(process, number)
        assert not done or f"resumed after step {done}" in said
        assert sorted(path.name for path in directory.iterdir()) == ["scratch", "steps.jsonl"]
        done = len(read_rows(log))
    process = started("fit", run)
    assert process.communicate(timeout=LIMIT_S)[1].count(f"resumed after step {done}") == 1
    assert process.returncode == 0
    assert (directory / "model.safetensors").read_bytes() == expected
    assert [row["step"] for row in read_rows(log)] == list(range(1, 61))


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_sampling_that_is_stopped_leaves_nothing(calm, tmp_path, number):
    """Stop it both during imports and while drawing."""
    run = copied(calm[0], tmp_path, sample={"count": 4000, "shard_size": 4000, "batch_size": 1})
    process = started("sample", run)
    time.sleep(2)
    stopped(process, number)
    assert not run.sample("vae").path.exists()
