"""A stage is declared once, and all lists of stages are derived from that declaration."""

from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from calvaria.cli.stages import add_stage
from calvaria.config import Config, parse
from calvaria.pipeline.estimate import estimate
from calvaria.pipeline.fingerprint import identity
from calvaria.pipeline.manifest import data_files
from calvaria.pipeline.plan import jobs
from calvaria.pipeline.stage import FAMILY, SHARD, Stage
from calvaria.report import tables
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from calvaria.storage.store import write_json
from tests.conftest import ROOT
from tests.unit.finished import tiny


def count(run: Run, config: Config, family: str, shard: int) -> None:
    """Write how many samples a family has."""
    write_json(run.root / "count" / f"{family}-{shard}.json", {"samples": config.sample.count})


COUNT = Stage(
    name="count",
    help="Count the samples of a family.\n\nExample: calvaria count --run results/demo --family vae",
    run=count,
    outputs=lambda run, family, shard: (run.root / "count" / f"{family}-{shard}.json",),
    reads=lambda config, *_: {"count": config.sample.count},
    key=FAMILY,
    number=SHARD,
)
MORE = (*STAGES, COUNT)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "results" / "tiny")
    write_json(run.ingest.path / "labels" / "zarr.json", {"shape": [8, 1, 1, 1]})
    run.config.write_text(yaml.safe_dump(tiny()))
    return run


def test_a_new_stage_is_planned_estimated_and_part_of_the_manifest(run):
    config = parse(tiny(), "config")
    new = jobs(MORE, run, config, 8)[len(jobs(STAGES, run, config, 8)) :]
    assert [job.name for job in new] == ["count/real/0", "count/vae/0"]
    assert estimate(MORE, config, list(config.ingest.sources.values()) * 8).stages[-1].stage == "count"
    added = set(data_files(MORE, run, config)) - set(data_files(STAGES, run, config))
    assert added == {Path("count/real-0.json"), Path("count/vae-0.json")}
    grown = config.model_copy(update={"sample": config.sample.model_copy(update={"count": 99})})
    assert identity(config, COUNT, "vae") != identity(grown, COUNT, "vae")


def test_a_new_stage_has_its_place_in_the_report(tmp_path):
    for name in ("ahead", "count", "fit"):
        (tmp_path / f"{name}.tsv").write_text("s\n1\n")
    order = [stage.name for stage in MORE]
    assert [cost.stage for cost in tables.costs(tmp_path, order)] == ["fit", "count", "ahead"]


def test_a_new_stage_has_a_command(run):
    app = typer.Typer()
    for stage in MORE:
        add_stage(app, stage)
    call = CliRunner().invoke
    assert "Count the samples of a family" in call(app, ["--help"]).output
    done = call(app, ["count", "--shard", "2", "--run", str(run.root), "--family", "vae"])  # in any order
    assert done.exit_code == 0, done.output
    assert (run.root / "count" / "vae-2.json").is_file()


def test_no_two_stages_share_a_name():
    assert len({stage.name for stage in STAGES}) == len(STAGES)
    modules = {path.stem for path in (ROOT / "src" / "calvaria" / "stages").glob("*.py")} - {"__init__"}
    assert modules == {stage.name for stage in STAGES}
