"""The jobs of a run that Snakemake will start, in order, derived from the config alone."""

from collections.abc import Sequence

from calvaria.config import Config
from calvaria.pipeline.stage import Job, Stage
from calvaria.storage.paths import Run


def jobs(stages: Sequence[Stage], run: Run, config: Config, skulls: int) -> list[Job]:
    """Return all jobs of a run whose sources have this number of skulls."""
    return [job for stage in stages for job in stage.jobs(run, config, skulls)]
