"""The list of a run's jobs."""

from pathlib import Path

import yaml

from calvaria.config import parse
from calvaria.pipeline.plan import jobs
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from tests.conftest import ROOT


def test_every_job_stands_after_what_it_needs_and_makes_files_of_its_own():
    config = parse(yaml.safe_load((ROOT / "config.yaml").read_text()), "config.yaml")
    found = jobs(STAGES, Run(Path("results/demo")), config, 24)
    files = [path for job in found for path in job.outputs]
    assert len(files) == len(set(files))
    assert len({job.name for job in found}) == len(found)
    order = [job.name for job in found]
    for first, then in (("fit/vqvae", "fit/ldm"), ("fit/template", "fit/ssm"), ("limits", "screen/vae/0")):
        assert order.index(first) < order.index(then)
    assert order[-1] == "report"
