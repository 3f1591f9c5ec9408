"""The same config gives the same bytes, regardless of the division into jobs and the environment.

Three runs of the tiny config: ``here`` on two cores; ``elsewhere``, a copy of the project at another path, on
one core, with another hash seed, killed and resumed; ``cut``, with other shard sizes and more loaders, in one
process. The digest of the manifest covers every store, weight file, record and score.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from calvaria.config import load
from calvaria.pipeline.fingerprint import modules
from calvaria.pipeline.manifest import stores
from calvaria.pipeline.plan import jobs
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json, read_rows
from tests.conftest import ROOT
from tests.end_to_end.anchors import dice, skulls, stored
from tests.end_to_end.conftest import LIMIT_S, TINY, command, environment, finish
from tests.imports import too_much

# Minimum Dice with the skulls of another machine (docs/determinism.md); two phantoms have at most 0.75.
NEAR = {"ingest": 0.98, "sample": 0.9}
# Every job logs the modules that it imports.
ELSEWHERE = {"PYTHONHASHSEED": "12345", "PYTHONPROFILEIMPORTTIME": "1"}


def run_elsewhere(place: Path) -> Path:
    """Run a copy of the project, kill it and its jobs while the autoencoder trains, and restart it."""
    project, where = place / "copy of the project", place / "elsewhere"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, project / name)
    with (project / "src" / "calvaria" / "seeds.py").open("a") as file:
        file.write("# Says in the manifest which copy of the project has run.\n")
    env = environment(project, **ELSEWHERE)
    process = subprocess.Popen(
        command(where, 1, project=project),
        env=env,
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
    unlock = command(where, 1, "--unlock", project=project)
    subprocess.run(unlock, env=env, capture_output=True, check=True)
    finished = finish(where, 1, project=project, **ELSEWHERE)
    log = (finished / "logs" / "fit" / "vae.log").read_text()
    assert "fit vae: resumed after step" in log, "the training started from scratch"
    return finished


def run_cut(place: Path) -> Path:
    """Run the config in one process, changing all settings that must not affect a sample."""
    raw = yaml.safe_load(TINY.read_text()) | {"loaders": 3, "checkpoint_s": 60}
    raw["ingest"]["shard_size"] = raw["sample"]["shard_size"] = 3
    config, made = place / "cut.yaml", place / "results" / "tiny"
    place.mkdir()
    config.write_text(yaml.safe_dump(raw, sort_keys=False))
    env = environment(PYTHONHASHSEED="0", OMP_NUM_THREADS="1")  # one thread, as set by Snakemake
    once = [sys.executable, "-m", "tests.end_to_end.one_process", config, made]
    done = subprocess.run(
        once, env=env, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    plan = subprocess.run(
        command(place, 1, "--dry-run", config=config), env=env, capture_output=True, text=True, check=True
    )
    assert "Nothing to be done" in plan.stdout + plan.stderr, "Snakemake would have made other shards"
    return made


@pytest.fixture(scope="module")
def runs(tmp_path_factory, reference) -> dict[str, Path]:
    """Three runs, each in a separate directory."""
    place = tmp_path_factory.mktemp("runs")
    with ThreadPoolExecutor(2) as pool:  # two runs of one core each at the same time
        elsewhere = pool.submit(run_elsewhere, place)
        cut = pool.submit(run_cut, place / "cut")
        return {"here": reference, "elsewhere": elsewhere.result(), "cut": cut.result()}


def calvaria(*arguments: str | Path, where: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of the tested installation."""
    return subprocess.run(
        ["calvaria", *arguments], env=environment(), cwd=where, capture_output=True, text=True, check=False
    )


def test_cores_path_hash_seed_and_interruptions_do_not_matter(runs):
    expected, found = (read_json(runs[name] / "manifest.json") for name in ("here", "elsewhere"))
    differing = [name for name, sha in expected["files"].items() if found["files"].get(name) != sha]
    assert differing == []
    assert found["digest"] == expected["digest"]
    done = calvaria("diff", runs["here"], runs["elsewhere"])
    assert done.returncode == 0, done.stderr
    assert f"the data is the same: digest {expected['digest']}" in done.stdout
    assert "code.modules: 1 differ: calvaria.seeds\n" in done.stdout, "the copy's code has not run"


def test_skulls_come_near_those_of_another_machine(runs):
    """Bit-identical results are guaranteed only on the same hardware and versions."""
    found, expected = skulls(Run(runs["here"])), stored()
    assert found.keys() == expected.keys()
    near = {name: dice(found[name], expected[name]) for name in expected}
    assert {name: value for name, value in near.items() if value < NEAR[name.split("/")[0]]} == {}


def test_shards_and_loaders_do_not_matter_to_a_sample(runs):
    """Every volume, row, weight file and record is the same; only the shards differ."""
    here, cut = Run(runs["here"]), Run(runs["cut"])
    for one, other in zip(*(stores(run, load(run.config)) for run in (here, cut)), strict=True):
        assert one.rows() == other.rows(), one.path
    assert (cut.ingest.shard(2).is_file(), here.ingest.shard(2).is_file()) == (True, False)
    expected, found = (read_json(run.manifest)["files"] for run in (here, cut))
    whole = [name for name in expected if ".zarr/" not in name and not name.startswith("ingest/")]
    assert [name for name in whole if found.get(name) != expected[name]] == []
    done = calvaria("diff", here.root, cut.root)
    assert done.returncode == 4
    assert "config.ingest.shard_size: 4 -> 3" in done.stdout
    cause = "changed dependencies: config.ingest.shard_size\n"
    assert done.stdout.endswith(f"first difference at ingest/0; {cause}")


def test_jobs_import_only_what_their_identity_knows(runs):
    """Otherwise editing a module would not re-run its stages."""
    run = Run(runs["elsewhere"])
    config = load(run.config)
    # Loaded before a stage begins. Plugins among them are part of the identities of the stages that run them;
    # the config is part of an identity by its values.
    declarations = loaded_to_declare(run.config)
    for job in jobs(STAGES, run, config, len(run.ingest)):
        log = run.log(job.name).read_text(encoding="utf-8")
        loaded = set(re.findall(r"\| +(calvaria[\w.]*)$", log, re.MULTILINE))
        assert f"calvaria.stages.{job.stage.name}" in loaded
        known = set(modules(config, job.stage, job.subject))
        assert loaded - known - declarations == set(), job.name


def test_jobs_import_only_what_they_need(runs):
    """Otherwise every job would wait for unneeded imports."""
    run = Run(runs["elsewhere"])
    config = load(run.config)
    beyond = []
    for job in jobs(STAGES, run, config, len(run.ingest)):
        log = run.log(job.name).read_text(encoding="utf-8")
        beyond.append(too_much(set(re.findall(r"\| +([\w.]+)$", log, re.MULTILINE)), job, config))
    assert [what for what in beyond if what] == []


def loaded_to_declare(config: Path) -> set[str]:
    """Return the modules that the command line imports to declare its commands and to read a config."""
    code = (
        "import sys; from pathlib import Path; import calvaria.cli; from calvaria.config import load\n"
        "load(Path(sys.argv[1]))\n"
        "print(*(name for name in sys.modules if name.split('.')[0] == 'calvaria'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, config], env=environment(), capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_ancestry_leads_from_a_prediction_and_from_a_case_to_real_skulls(runs):
    def steps(*arguments: str) -> list[dict]:
        done = calvaria("ancestry", runs["here"], *arguments)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    made = steps("inject/registration.zarr", "3")
    assert [row["store"].split("/")[0] for row in made[:2]] == ["inject", "screen"]
    assert {row["id"] for row in made if row["store"] == "ingest.zarr"} == set(made[0]["parents"])
    predicted = steps("evaluate/all.zarr", "1")
    assert [row["store"] for row in predicted] == ["evaluate/all.zarr", "inject/test.zarr", "ingest.zarr"]
    listed = read_json(runs["here"] / "manifest.json")["ancestry"]
    for store, rows in (("inject/registration.zarr", made), ("evaluate/all.zarr", predicted)):
        about = listed[store]
        parents = about["parents"][about["volumes"][rows[0]["index"]]]
        assert parents == [row["id"] for row in rows if row["store"] == "ingest.zarr"]


def test_the_run_is_whole(runs):
    """Every family and arm has its files; every score is a number or counted as empty."""
    files = read_json(runs["here"] / "manifest.json")["files"]
    for family in ("real", "registration", "vae", "vqvae", "wgan", "introvae", "ldm", "flow"):
        assert f"fit/{family}/model.safetensors" in files
        assert f"inject/{family}.zarr/labels/c/0/0/0/0" in files
    for arm in ("none", "all"):
        assert f"evaluate/{arm}.zarr/rows/0.jsonl" in files


def test_no_descendant_of_a_held_out_person_is_learned_from(runs):
    """Every skull and case of every family, from draw to defect, descends only from training people."""
    run = Run(runs["here"])
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
    """The command starts both processes; they share every batch, so only the order of summation differs."""
    one, shared = Run(runs["here"]), Run(tmp_path / "shared")
    shared.root.mkdir()
    for name in ("ingest.zarr", "ingest", "people.json", "split.json", "precision.json"):
        (shared.root / name).symlink_to(one.root / name)
    config = yaml.safe_load(one.config.read_text())
    shared.config.write_text(yaml.safe_dump(config | {"processes": 2}))
    for family in ("vae", "vqvae"):
        arguments = ["calvaria", "fit", "--run", shared.root, "--family", family]
        done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "steps" in done.stderr
        rows, expected = (read_rows(which.fit(family) / "steps.jsonl") for which in (shared, one))
        assert [row["step"] for row in rows] == [row["step"] for row in expected]
        assert rows[0]["loss"] == pytest.approx(expected[0]["loss"], rel=1e-4)
        assert rows[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=0.1)


def test_a_dry_run_says_what_a_fit_would_take_and_writes_nothing(runs):
    place = runs["here"]
    before = sorted(place.rglob("*"))
    arguments = ["calvaria", "fit", "--run", place, "--family", "introvae", "--dry-run"]
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, check=True)
    for word in ("parameters", "peak memory", "GiB", "s a step", "10 steps in"):
        assert word in done.stdout
    assert sorted(place.rglob("*")) == before


def test_nothing_is_left_to_do(runs):
    place = runs["here"].parents[1]
    done = subprocess.run(command(place, 2), env=environment(), capture_output=True, text=True, check=True)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_verify_passes_recomputes_shards_and_detects_a_flipped_byte(runs):
    place, where = runs["cut"], runs["cut"].parents[1]
    fine = calvaria("verify", place, "--recompute", "4", where=where)
    assert fine.returncode == 0, fine.stderr
    assert fine.stdout.count(": the same\n") == 4
    shard = place / "inject" / "vae.zarr" / "labels" / "c" / "0" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    broken = calvaria("verify", place)
    assert broken.returncode == 4
    assert f"{shard}: damaged or changed" in broken.stderr


def test_the_report_is_there(runs):
    page = (runs["here"] / "report.html").read_text()
    for word in ("registration", "wgan", "DSC", "HD95"):
        assert word in page
