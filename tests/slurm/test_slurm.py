"""A run on a real SLURM cluster with the shipped profile has the digest of a local run.

Meanwhile a job is cancelled, the node goes down and up, and Snakemake is stopped; the same command then
completes the run.
"""

import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from calvaria.storage.store import read_json
from tests.conftest import ROOT
from tests.end_to_end.conftest import LIMIT_S, TINY, environment, finish

FAMILIES = ("real", "vae")  # without and with a network; cover every rule except registrations
PROFILE = ROOT / "profiles" / "slurm"
OFTEN = ["--slurm-init-seconds-before-status-checks", "1"]  # jobs are short here


@dataclass(frozen=True)
class Job:
    """A submitted job."""

    id: str
    state: str
    partition: str
    restarts: int
    memory: str  # 500M
    gpus: str  # gres:gpu:1 or N/A
    comment: str  # rule and wildcards, set by Snakemake


def mb(job: Job) -> int:
    return int(job.memory.removesuffix("M"))


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def jobs(comment: str = "", state: str = "all") -> list[Job]:
    """Return the jobs of a rule that SLURM lists, including finished ones."""
    form = "JobID:|,State:|,Partition:|,RestartCnt:|,MinMemory:|,tres-per-job:|,Comment:256"
    lines = slurm("squeue", "--noheader", f"--states={state}", f"--Format={form}").splitlines()
    rows = [[part.strip() for part in line.split("|")] for line in lines]
    found = [Job(*row[:3], int(row[3]), *row[4:]) for row in rows]
    return sorted((job for job in found if comment in job.comment), key=lambda job: int(job.id))


def begin(where: Path, config: Path) -> subprocess.Popen[str]:
    """Start the user's command in the background; its output goes to ``snakemake.log``."""
    place = ["--snakefile", ROOT / "Snakefile", "--directory", where, "--configfile", config]
    listening = ["env", "--default-signal=INT"]  # a shell's background jobs would ignore Ctrl-C
    with (where / "snakemake.log").open("a") as log:
        return subprocess.Popen(
            [*listening, "snakemake", *place, "--profile", PROFILE, *OFTEN],
            env=environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def until(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until a condition holds while the run continues."""
    deadline = time.monotonic() + LIMIT_S
    while not what():
        assert process.poll() is None, "the run ended too early"
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """The tiny config with fewer families, since every SLURM job takes at least some seconds."""
    settings = yaml.safe_load(TINY.read_text())
    settings["device"] = "auto"
    settings["ingest"]["shard_size"] = settings["ingest"]["sources"]["phantom"]["count"]
    settings["fit"] = {name: settings["fit"][name] for name in FAMILIES}
    settings["train"]["arms"] = {"all": {"families": dict.fromkeys(FAMILIES, 1), "geometric": "strong"}}
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def disturb(where: Path, config: Path) -> Path:
    """Run on SLURM with all disturbances."""
    process = begin(where, config)
    try:
        until((where / "results/tiny/fit/vae/scratch/checkpoint.safetensors").is_file, process)
        (fit,) = jobs("rule_fit_wildcards_vae", "running")
        slurm("scancel", fit.id)

        until(lambda: jobs("rule_fit_wildcards_vae", "running") not in ([], [fit]), process)
        node = slurm("sinfo", "--noheader", "--Node", "--format=%N", "--partition=cpu").strip()
        slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        until(lambda: not jobs(state="running,completing"), process)
        slurm("scontrol", "update", f"nodename={node}", "state=resume")

        until(lambda: jobs("rule_train", "running"), process)
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) != 0
        assert not jobs(state="pending,running"), "Snakemake was stopped and left jobs behind"

        process = begin(where, config)
        assert process.wait(LIMIT_S) == 0, (where / "snakemake.log").read_text()[-4000:]
    finally:
        process.kill()
        process.wait()
    return where / "results" / "tiny"


@pytest.fixture(scope="module")
def runs(cluster, config, tmp_path_factory) -> dict[str, Path]:
    """A run on SLURM and a simultaneous local run."""
    place = tmp_path_factory.mktemp("runs")
    (place / "slurm").mkdir()
    with ThreadPoolExecutor(1) as pool:
        local = pool.submit(finish, place / "local", 1, config)
        return {"slurm": disturb(place / "slurm", config), "local": local.result()}


@pytest.fixture
def disturbed(runs) -> Path:
    return runs["slurm"]


def test_the_digest_is_that_of_a_run_without_slurm(runs):
    expected, found = (read_json(runs[which] / "manifest.json") for which in ("local", "slurm"))
    assert [name for name, sha in expected["files"].items() if found["files"].get(name) != sha] == []
    assert found["digest"] == expected["digest"]


def test_a_cancelled_training_goes_on_with_more_memory(disturbed):
    first, second = jobs("rule_fit_wildcards_vae")
    assert (first.state, second.state) == ("CANCELLED", "COMPLETED")
    assert mb(second) == 2 * mb(first)
    assert "fit vae: resumed after step" in (disturbed / "logs" / "fit" / "vae.log").read_text()


def test_what_ran_on_the_failed_node_ran_again(disturbed):
    assert jobs("rule_fit_wildcards_vae")[-1].restarts == 1


def test_only_trainings_and_the_probe_get_a_gpu(disturbed):
    asked = {job.comment: (job.partition, job.gpus) for job in jobs()}
    assert len(asked) == 21
    with_gpu = {comment for comment, request in asked.items() if request == ("gpu", "gres:gpu:1")}
    assert with_gpu == {"rule_precision", "rule_fit_wildcards_vae", "rule_train_wildcards_all_0"}
    assert {request for comment, request in asked.items() if comment not in with_gpu} == {("cpu", "N/A")}


def test_nothing_is_left_to_do(disturbed, config):
    again = begin(disturbed.parents[1], config)
    assert again.wait(LIMIT_S) == 0
    assert "Nothing to be done" in (disturbed.parents[1] / "snakemake.log").read_text()[-1000:]
