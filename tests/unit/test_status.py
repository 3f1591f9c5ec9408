"""Status derives the state of every job from files and processes."""

import base64
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from calvaria.cli import app
from calvaria.config import load
from calvaria.pipeline.plan import jobs
from calvaria.pipeline.stage import Job
from calvaria.pipeline.status import status
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from tests.conftest import ROOT

SKULLS = 8


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The directory of the tiny run without results."""
    run = Run(tmp_path / "results" / "tiny")
    run.root.mkdir(parents=True)
    (tmp_path / ".snakemake" / "incomplete").mkdir(parents=True)
    content = yaml.safe_load((ROOT / "tests" / "end_to_end" / "tiny.yaml").read_text())
    run.config.write_text(yaml.safe_dump(content))
    return run


def job_of(run: Run, name: str) -> Job:
    return next(job for job in jobs(STAGES, run, load(run.config), SKULLS) if job.name == name)


def made(run: Run, name: str) -> Job:
    """Write the outputs, log and benchmark of a job and return the job."""
    job = job_of(run, name)
    for path in (*job.outputs, run.log(name), run.benchmark(name)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{job.stage.name}: 4/4 skulls\n")
    return job


def marked(run: Run, path: Path, number: str | None = None) -> None:
    """Mark an output as Snakemake does when it starts a job."""
    inside = run.root.parents[1]
    name = base64.urlsafe_b64encode(str(path.relative_to(inside)).encode()).decode()
    parts = [name[i : i + 254] for i in range(0, len(name), 254)]
    marker = inside.joinpath(".snakemake", "incomplete", *(f"@{part}" for part in parts[:-1]), parts[-1])
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps({"external_jobid": number}))


def said(run: Run, name: str, text: str, age_s: float = 0) -> None:
    log = run.log(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)
    os.utime(log, (time.time() - age_s,) * 2)


def states(run: Run) -> dict[str, str]:
    return {one.job.name: one.state for one in status(STAGES, run, load(run.config)) if one.state != "left"}


def test_nothing_was_started(run):
    assert states(run) == {}
    assert len(status(STAGES, run, load(run.config))) == 69


def test_what_is_there_is_done(run):
    made(run, "ingest/0")
    made(run, "register/registration/1")
    assert states(run) == {"ingest/0": "done", "register/registration/1": "done"}


def test_half_of_the_outputs_is_not_done(run):
    made(run, "ingest/0").outputs[2].unlink()
    assert states(run) == {}, (
        "its benchmark is newer than its log: it had succeeded, and someone deleted a file"
    )


def test_outputs_that_snakemake_calls_unfinished_are_not_done(run):
    """A partial file after SIGKILL must not count as complete."""
    marked(run, made(run, "ingest/0").outputs[1])
    assert states(run) == {"ingest/0": "interrupted"}


def test_long_names_of_markers_are_read(run):
    long = Run(run.root.parent / ("n" * 200))
    long.root.mkdir()
    long.config.write_text(run.config.read_text())
    marked(long, made(long, "inject/registration/0").outputs[0])
    assert states(long) == {"inject/registration/0": "interrupted"}
    assert states(run) == {}, "another run's markers are not this one's"


def test_a_job_of_a_cluster_is_submitted(run):
    marked(run, job_of(run, "train/all/0").outputs[0], "4711")
    (found,) = [one for one in status(STAGES, run, load(run.config)) if one.state != "left"]
    assert (found.state, found.message) == ("submitted", "job 4711 of the cluster")


@pytest.mark.parametrize(
    ("log", "state"),
    [
        (
            "fit vae: 3/40 steps\ncalvaria: fit vae: loss is nan at step 4; lower the learning rate\n",
            "failed",
        ),
        ("Traceback (most recent call last):\n  File ...\nMemoryError\n", "failed"),
        ("Traceback (most recent call last):\n  File ...\nKeyboardInterrupt\n", "interrupted"),
        ("fit vae: 3/40 steps\n", "interrupted"),
        ("", "interrupted"),
    ],
)
def test_a_log_without_a_result_tells_how_it_ended(run, log, state):
    said(run, "fit/vae", log)
    assert states(run) == {"fit/vae": state}


def test_a_result_that_was_deleted_is_left(run):
    """Its old log must not look like a failure."""
    for path in made(run, "fit/vae").outputs:
        path.unlink()
    said(run, "fit/vae", "Traceback (most recent call last):\n", age_s=60)
    assert states(run) == {}


def test_a_process_at_work_is_seen_with_what_it_said_last(run):
    said(run, "fit/vae", "fit vae: 3/40 steps, 1/s\n")
    marked(run, job_of(run, "fit/vae").outputs[0])
    words = ["calvaria", "fit", "--run", "results/tiny", "--family", "vae"]
    with subprocess.Popen(
        [sys.executable, "-c", "input()", *words], cwd=run.root.parents[1], stdin=subprocess.PIPE
    ) as process:
        for _ in range(50):
            found = [one for one in status(STAGES, run, load(run.config)) if one.state != "left"]
            if found[0].state == "running":
                break
            time.sleep(0.1)
        process.communicate(b"\n")
    assert [(one.job.name, one.state, one.message) for one in found] == [
        ("fit/vae", "running", "fit vae: 3/40 steps, 1/s")
    ]
    assert states(run) == {"fit/vae": "interrupted"}


def test_the_command_shows_it_and_its_exit_code_tells_of_failures(run):
    made(run, "ingest/0")
    call = CliRunner().invoke
    good = call(app, ["status", str(run.root)])
    assert good.exit_code == 0
    assert "1 of 69 jobs done, 68 left" in good.output
    assert "ingest        1 of 2" in good.output
    assert re.search(r"The remaining jobs take about \d+ (s|min) of one core", good.output)
    said(run, "fit/vae", "calvaria: fit vae: loss is nan\n")
    bad = call(app, ["status", str(run.root)])
    assert bad.exit_code == 4
    assert "fit/vae: calvaria: fit vae: loss is nan" in bad.output
    assert f"log: {run.log('fit/vae')}" in bad.output
    rows = json.loads(call(app, ["status", str(run.root), "--json"]).output)
    assert [row["job"] for row in rows if row["state"] == "failed"] == ["fit/vae"]
