"""sample: draws skulls from a fitted family, one shard a job."""

import numpy as np

from calvaria.config import Config
from calvaria.families.run_context import draw_skulls
from calvaria.plugins.family import Draw, Drawn
from calvaria.storage.cohorts import training_population
from calvaria.storage.paths import Run
from calvaria.storage.rows import SampleColumns
from calvaria.storage.store import write_shard
from calvaria.utils.progress import Progress


def sample(run: Run, config: Config, family: str, shard: int) -> None:
    """Writes one shard of the family's sample store: the first attempt of every sample."""
    size, count = config.sample.shard_size, config.sample.count
    draws = [Draw(index, 0) for index in range(shard * size, min((shard + 1) * size, count))]
    progress = Progress(f"sample {family} {shard}", len(draws), "skulls")
    drawn = draw_skulls(run, config, family, training_population(run), draws, progress.advance)
    volumes = np.stack([one.skull for one in drawn])
    rows = [ancestry(draw, family, one) for draw, one in zip(draws, drawn, strict=True)]
    write_shard(run.sample(family), shard, count, size, config.grid.voxels(), volumes, rows)


def ancestry(draw: Draw, family: str, drawn: Drawn) -> SampleColumns:
    """Where a synthetic skull comes from."""
    return {
        "family": family,
        "attempt": draw.attempt,
        "parents": list(drawn.parents),
        "parameters": drawn.parameters,
        "fault": drawn.fault,
    }
