"""Snakemake takes the results of an unpacked run for up to date, though its sources were copied later."""

import shutil

import yaml

from calvaria.config import dump, load
from calvaria.pipeline.pack import pack, unpack
from calvaria.pipeline.plan import jobs
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from tests.unit.finished import SKULLS, tiny
from tests.workflow.test_workflow import planned, snakemake


def test_sources_that_were_copied_before_are_not_newer(tmp_path, monkeypatch):
    """Only names and times matter for the plan, so all files are empty."""
    here, there = tmp_path / "here", tmp_path / "there"
    scans = [f"data/{number}.nii.gz" for number in range(SKULLS)]
    raw = tiny()
    raw["ingest"]["sources"] = {"own": {"kind": "folder", "path": "data"}}
    config, run = tmp_path / "tiny.yaml", Run(here / "results" / "tiny")
    config.write_text(yaml.safe_dump(raw, sort_keys=False))
    made = [path for job in jobs(STAGES, run, load(config), SKULLS) for path in job.outputs]
    for path in [*(here / scan for scan in scans), *made]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run.config.write_text(dump(load(config)))
    line = ("--configfile", config, "--cores", "1")
    touched = snakemake(*line, "--touch", where=here)
    assert touched.returncode == 0, touched.stderr
    monkeypatch.chdir(here)  # where the paths of sources begin
    pack(STAGES, run, load(config), tmp_path / "tiny.tar")

    shutil.copytree(here / "data", there / "data", copy_function=shutil.copyfile)
    unpack(tmp_path / "tiny.tar", there)
    plan = snakemake(*line, "--dry-run", where=there)
    assert "Nothing to be done" in plan.stdout + plan.stderr
    (there / scans[0]).touch()
    assert planned(snakemake(*line, "--dry-run", where=there).stdout)["ingest"] == 1
