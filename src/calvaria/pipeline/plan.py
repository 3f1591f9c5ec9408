"""Every job of a run, in the order of the work: what Snakemake will start, known from the config alone."""

from collections.abc import Sequence

from calvaria.config import Config
from calvaria.pipeline.stage import Job, Stage
from calvaria.storage.paths import Run


def jobs(stages: Sequence[Stage], run: Run, config: Config, skulls: int) -> list[Job]:
    """Return all jobs of a run whose sources have this number of skulls."""
    return [job for stage in stages for job in stage.jobs(run, config, skulls)]
