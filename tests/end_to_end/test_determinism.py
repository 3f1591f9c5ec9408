"""The same config gives the same bytes: on one core, on two, and killed in the middle and resumed.

The digest of the manifest covers every store, weight file, record and score.
"""

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from calvaria.config import load
from calvaria.paths import Run
from calvaria.store import read_json, read_rows
from tests.end_to_end.conftest import LIMIT_S, command, environment, finish


def run_killed(where: Path, cores: int) -> Path:
    """Kills Snakemake and its jobs while the autoencoder trains, then runs the same command again."""
    process = subprocess.Popen(
        command(where, cores),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    begun = where / "results" / "tiny" / "fit" / "vae" / "scratch" / "checkpoint.safetensors"
    deadline = time.monotonic() + LIMIT_S
    while not begun.is_file():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the autoencoder never began to train"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (where / "results" / "tiny" / "manifest.json").exists()
    subprocess.run(command(where, cores, "--unlock"), env=environment(), capture_output=True, check=True)
    finished = finish(where, cores)
    log = (finished / "logs" / "fit" / "vae.log").read_text()
    assert "fit vae: resumed after step" in log, "the training began anew"
    return finished


@pytest.fixture(scope="module")
def runs(tmp_path_factory, reference) -> dict[str, Path]:
    """Three runs of one config, each in a directory of its own."""
    place = tmp_path_factory.mktemp("runs")
    with ThreadPoolExecutor(2) as pool:  # two runs of one core each, side by side
        one_core = pool.submit(finish, place / "one", 1)
        killed = pool.submit(run_killed, place / "killed", 1)
        found = {"one": one_core.result(), "killed": killed.result()}
    return {**found, "two": reference}


@pytest.mark.parametrize("other", ["two", "killed"])
def test_all_digests_agree(runs, other):
    wanted, found = read_json(runs["one"] / "manifest.json"), read_json(runs[other] / "manifest.json")
    differing = [name for name, sha in wanted["files"].items() if found["files"].get(name) != sha]
    assert differing == []
    assert found["digest"] == wanted["digest"]


def test_the_run_is_whole(runs):
    """Every family and arm left its files, every score is a number or counted as empty."""
    files = read_json(runs["two"] / "manifest.json")["files"]
    for family in ("real", "registration", "vae", "vqvae", "wgan", "introvae", "ldm", "flow"):
        assert f"fit/{family}/model.safetensors" in files
        assert f"inject/{family}.zarr/labels/c/0/0/0/0" in files
    for arm in ("real", "all"):
        assert f"evaluate/{arm}.zarr/rows/0.jsonl" in files


def test_no_descendant_of_a_held_out_person_is_learned_from(runs):
    """Every skull and case of every family, from draw to defect, descends from training people alone."""
    run = Run(runs["two"])
    cohorts = read_json(run.split)
    ids = {name: {row["id"] for row in rows} for name, rows in cohorts.items()}
    people = {name: {row["person"] for row in rows} for name, rows in cohorts.items()}
    assert not people["training"] & (people["validation"] | people["test"])
    assert not people["validation"] & people["test"]
    for family in load(run.config).fit:
        for store in (run.sample(family), run.screen(family), run.inject(family)):
            parents = [set(row["parents"]) for row in store.rows()]
            assert all(parents), f"{store.path}: a skull without ancestry"
            assert set().union(*parents) <= ids["training"]
    for cohort in ("validation", "test"):
        assert {parent for row in run.inject(cohort).rows() for parent in row["parents"]} <= ids[cohort]


def test_two_processes_fit_what_one_does(runs, tmp_path):
    """The command starts them itself; they share every batch, so only the order of sums differs."""
    one, shared = Run(runs["two"]), Run(tmp_path / "shared")
    shared.root.mkdir()
    for name in ("ingest.zarr", "people.json", "split.json"):
        (shared.root / name).symlink_to(one.root / name)
    config = yaml.safe_load(one.config.read_text())
    shared.config.write_text(yaml.safe_dump(config | {"processes": 2}))
    for family in ("vae", "vqvae"):
        arguments = ["calvaria", "fit", "--run", shared.root, "--family", family]
        done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "steps" in done.stderr
        rows, wanted = (read_rows(which.fit(family) / "steps.jsonl") for which in (shared, one))
        assert [row["step"] for row in rows] == [row["step"] for row in wanted]
        assert rows[0]["loss"] == pytest.approx(wanted[0]["loss"], rel=1e-4)
        assert rows[-1]["loss"] == pytest.approx(wanted[-1]["loss"], rel=0.1)


def test_a_dry_run_says_what_a_fit_would_take_and_writes_nothing(runs):
    place = runs["two"]
    before = sorted(place.rglob("*"))
    arguments = ["calvaria", "fit", "--run", place, "--family", "introvae", "--dry-run"]
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, check=True)
    for word in ("parameters", "peak memory", "GiB", "s a step", "10 steps in"):
        assert word in done.stdout
    assert sorted(place.rglob("*")) == before


def test_nothing_is_left_to_do(runs):
    place = runs["two"].parents[1]
    done = subprocess.run(command(place, 2), env=environment(), capture_output=True, text=True, check=True)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_verify_passes_and_then_sees_a_flipped_byte(runs):
    place = runs["killed"]
    arguments = ["calvaria", "verify", place]
    fine = subprocess.run(arguments, env=environment(), capture_output=True, text=True, check=False)
    assert fine.returncode == 0, fine.stderr
    shard = place / "inject" / "vae.zarr" / "labels" / "c" / "0" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    broken = subprocess.run(arguments, env=environment(), capture_output=True, text=True, check=False)
    assert broken.returncode == 4
    assert f"{shard}: damaged or changed" in broken.stderr


def test_the_report_is_there(runs):
    page = (runs["two"] / "report.html").read_text()
    for word in ("registration", "wgan", "DSC", "HD95"):
        assert word in page
