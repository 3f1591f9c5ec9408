"""The workflow plans the expected jobs, and rejects a wrong config before any job starts."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from calvaria.config import load, parse
from calvaria.pipeline.plan import jobs as run_jobs
from calvaria.sources import catalogue
from calvaria.stages import STAGES as EVERY_STAGE
from calvaria.storage.paths import Run
from tests.conftest import ROOT

SKULLS = 75
PARTS = ("complete_skull", "defective_skull", "implant")  # folders of SkullFix
PRESETS = sorted((ROOT / "workflow" / "presets").glob("*.yaml"))
STAGES = (
    "ingest",
    "sheet",
    "people",
    "split",
    "fit",
    "sample",
    "limits",
    "screen",
    "inject",
    "train",
    "evaluate",
    "report",
)


def snakemake(*arguments: str | Path, where: Path) -> subprocess.CompletedProcess[str]:
    """Run Snakemake on this project's Snakefile, with results below ``where``."""
    command = ["snakemake", "--snakefile", ROOT / "Snakefile", "--directory", where, *arguments]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PATH": path}, check=False
    )


def planned(output: str) -> dict[str, int]:
    """Return the number of jobs per rule in the output of a dry run."""
    table = output.split("Job stats:")[1].split("\n\n")[0].splitlines()[3:]
    return {rule: int(count) for rule, count in (line.split() for line in table if line.strip())}


def test_the_demo_plans_every_stage(tmp_path):
    done = snakemake("--dry-run", "--quiet", "host", where=tmp_path)
    assert done.returncode == 0, done.stderr
    jobs = planned(done.stdout)
    assert set(STAGES) < set(jobs)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert jobs["fit"] == len(config["fit"])
    assert jobs["train"] == jobs["evaluate"] == len(config["train"]["arms"])
    assert not (tmp_path / "results").exists(), "a dry run leaves nothing behind"
    listed = run_jobs(EVERY_STAGE, Run(Path("results/demo")), parse(config, "config"), 24)
    counts = {rule: count for rule, count in jobs.items() if rule not in ("all", "total")}
    assert Counter(job.stage.name for job in listed) == counts
    outputs = re.findall(r"^ +output: (.*)$", done.stdout, re.MULTILINE)
    assert {path for line in outputs for path in line.split(", ")} == {
        str(path) for job in listed for path in job.outputs
    }


def requests(config: dict, where: Path) -> dict[str, list[dict[str, int]]]:
    """Return the resource requests of the jobs of every rule."""
    path = where / "requested.yaml"
    path.write_text(yaml.safe_dump(config))
    plan = snakemake("--dry-run", "--workflow-profile", "none", "--configfile", path, where=where).stdout
    found: dict[str, list[dict[str, int]]] = {}
    for rule, requested in re.findall(
        r"^rule (\w+):\n(?:    .*\n)*?    resources: (.*)$", plan, re.MULTILINE
    ):
        numbers = {key: int(number) for key, number in re.findall(r"(\w+)=(\d+)(?:,|$)", requested)}
        found.setdefault(rule, []).append(numbers)
    return found


def test_every_job_says_what_it_takes_and_larger_grids_take_more(tmp_path):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    small = requests(config, tmp_path)
    assert set(STAGES) | {"audit", "register", "template"} < set(small)
    for rule in set(small) - {"all"}:
        assert all(job["mem_mb"] >= 400 and job["runtime"] >= 10 for job in small[rule]), rule
    config["grid"] = {"shape": [96, 112, 96], "spacing_mm": 1.875}
    large = requests(config, tmp_path)
    for rule in ("fit", "sample", "screen", "audit", "train", "evaluate"):
        assert large[rule][0]["mem_mb"] > 1.5 * small[rule][0]["mem_mb"], rule


@pytest.mark.parametrize(
    ("device", "jobs"), [("auto", (5, 1, 0, 10, 0)), ("cpu", (0,) * 5), ("cuda", (5, 5, 5, 10, 10))]
)
def test_a_gpu_is_requested_if_the_config_needs_one(device, jobs, tmp_path):
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"device": device}
    requested = requests(config, tmp_path)
    rules = ("fit", "sample", "screen", "train", "evaluate")
    assert tuple(sum(job["gpu"] for job in requested[rule]) for rule in rules) == jobs


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_preset_plans(preset, tmp_path):
    config = yaml.safe_load(preset.read_text())
    (source,) = config["ingest"]["sources"].values()
    places = {
        "folder": ["{:03d}.nii.gz"],
        "skullfix": [f"training_set/{part}/{{:03d}}.nrrd" for part in PARTS],
    }
    for place in places[source["kind"]]:
        for number in range(20):  # only names matter for the plan
            file = tmp_path / source["path"] / place.format(number)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    done = snakemake("--dry-run", "--configfile", preset, where=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(STAGES) < set(planned(done.stdout))
    assert planned(done.stdout)["total"] <= 500, "clusters count jobs; make shards larger"


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_preset_without_its_data_says_what_to_do(preset, tmp_path):
    done = snakemake("--dry-run", "--configfile", preset, where=tmp_path)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "ingest.sources.skullfix.path: " in output
    assert "no such folder" in output or "unpack the set there" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    "source", [ROOT / "tests" / "end_to_end" / "tiny.yaml", PRESETS[-1]], ids=lambda path: path.stem
)
def test_jobs_are_those_that_snakemake_plans(source, tmp_path):
    """`calvaria status` and `estimate` use a separate list, which must agree with the rules."""
    for number in range(SKULLS):
        file = tmp_path / "data" / "skullfix_1mm" / f"{number:03d}.nii.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    done = snakemake("--summary", "--configfile", source, where=tmp_path)
    rows = [line.split("\t") for line in done.stdout.splitlines() if line.startswith("results/")]
    config = load(source)
    skulls = len(catalogue(config.ingest.sources)) if source.stem == "tiny" else SKULLS
    every = run_jobs(EVERY_STAGE, Run(Path("results") / config.name), config, skulls)
    assert {(row[0], row[2]) for row in rows} == {
        (str(path), job.stage.name) for job in every for path in job.outputs
    }


def test_a_wrong_config_is_refused_before_any_job(tmp_path):
    wrong = tmp_path / "wrong.yaml"
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["train"] |= {"optimizer": {"steps": 5}, "patch": 0}
    wrong.write_text(yaml.safe_dump(config))
    done = snakemake("--cores", "1", "--configfile", wrong, where=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "train.optimizer: unknown key" in said
    assert "train.patch" in said
    assert "got 0" in said
    assert not (tmp_path / "results").exists()


def test_a_larger_count_only_adds_shards(tmp_path):
    """Compare the plans for the config's number of samples and for twice as many."""
    once = planned(snakemake("--dry-run", where=tmp_path).stdout)
    more = tmp_path / "more.yaml"
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["sample"]["count"] *= 2
    more.write_text(yaml.safe_dump(config))
    twice = planned(snakemake("--dry-run", "--configfile", more, where=tmp_path).stdout)
    assert twice["sample"] == 2 * once["sample"]
    assert twice["fit"] == once["fit"]


def test_lint(tmp_path):
    done = snakemake("--lint", where=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_commands_and_modules_share_the_names_of_the_stages():
    """Rule, command, module and, if a stage has settings, config section have the same name."""
    help_text = subprocess.run(
        [shutil.which("calvaria", path=Path(sys.executable).parent) or "calvaria", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    files = [ROOT / "workflow" / "rules" / f"{phase}.smk" for phase in ("data", "families", "arms", "report")]
    rules = [name for path in files for name in re.findall(r"^rule (\w+):", path.read_text(), re.MULTILINE)]
    assert sorted(rules) == sorted(["audits", "dataset", *(stage.name for stage in EVERY_STAGE)])
    for stage in EVERY_STAGE:
        assert (ROOT / "src" / "calvaria" / "stages" / f"{stage.name}.py").is_file()
        assert stage.name in help_text
