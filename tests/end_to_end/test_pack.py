"""A packed run goes on in another directory as in its own, and ends with the same bytes."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from calvaria.config import dump, load
from calvaria.pipeline.manifest import read_manifest
from calvaria.pipeline.plan import jobs
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from tests.conftest import ROOT
from tests.end_to_end.conftest import TINY, command, environment, finish
from tests.unit.test_status import marked
from tests.workflow.test_workflow import planned

KILLED = "train/none/0"
LEFT = (KILLED, "evaluate/none", "report")
KILL = """
import sys
from pathlib import Path
from tests.faults.killing import work
work(Path(sys.argv[1]), int(sys.argv[2]), 2)  # dies when it writes its second checkpoint
"""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, reference) -> Run:
    """A copy of the finished run, as if the last training had been killed after a checkpoint."""
    place = tmp_path_factory.mktemp("stopped")
    shutil.copytree(reference.parents[1], place, dirs_exist_ok=True)
    run = Run(place / "results" / "tiny")
    every = jobs(STAGES, run, load(run.config), len(run.ingest))
    for job in every:
        if job.name in LEFT:
            for path in (*job.outputs, run.benchmark(job.name)):
                path.unlink()
    config = run.config.read_text()
    run.config.write_text(dump(load(run.config).model_copy(update={"checkpoint_s": 0.0})))
    (number,) = (number for number, job in enumerate(every) if job.name == KILLED)
    killed = subprocess.run(
        [sys.executable, "-c", KILL, run.root, str(number)],
        cwd=ROOT,
        env=environment(OMP_NUM_THREADS="1"),
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    run.config.write_text(config)
    for path in every[number].outputs:
        marked(run, path)
    return run


@pytest.fixture(scope="module")
def moved(tmp_path_factory, stopped) -> Run:
    """The run, packed and restored in another directory."""
    pack, place = tmp_path_factory.mktemp("pack") / "tiny.tar", tmp_path_factory.mktemp("moved") / "a b"
    for words in (["pack", stopped.root, "--out", pack], ["unpack", pack, "--into", place]):
        done = subprocess.run(
            ["calvaria", *words], env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "differs" not in done.stderr
    return Run(place / "results" / "tiny")


def plan(run: Run, config: Path = TINY) -> dict[str, int]:
    """Return the number of jobs per rule that are left."""
    line = command(run.root.parents[1], 1, "--dry-run", config=config)
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=True)
    return planned(done.stdout + done.stderr)


def test_the_jobs_that_are_left_are_the_same(stopped, moved, tmp_path):
    left = {"train": 1, "evaluate": 1, "report": 1, "all": 1, "total": 4}
    assert plan(stopped) == plan(moved) == left
    raw = yaml.safe_load(TINY.read_text())
    raw["fit"]["vae"]["optimiser"]["learning_rate"] = 0.003
    (tmp_path / "changed.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    again = plan(moved, tmp_path / "changed.yaml")
    assert again == plan(stopped, tmp_path / "changed.yaml")
    assert again["fit"] == again["sample"] == 2, "vae, and flow, which builds on it"
    assert again["train"] == 2


def test_it_ends_with_the_same_bytes(reference, moved):
    finish(moved.root.parents[1], 1)
    log = moved.log(KILLED).read_text()
    assert "resumed after step 1" in log
    found, expected = read_manifest(moved), read_manifest(Run(reference))
    assert found["files"] == expected["files"]
    assert found["digest"] == expected["digest"]
