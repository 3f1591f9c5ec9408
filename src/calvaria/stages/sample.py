"""Draw skulls from a fitted family.

Example: calvaria sample --run results/demo --family vae --shard 0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calvaria.pipeline import costs, reads, roots
from calvaria.pipeline.stage import FAMILY, SHARD, Stage, sample_shards, shard_files

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.plugins.family import Draw, Drawn
    from calvaria.storage.paths import Run
    from calvaria.storage.rows import SampleColumns


def sample(run: Run, config: Config, family: str, shard: int) -> None:
    """Write one shard of the family's sample store: the first attempt of every sample."""
    import numpy as np

    from calvaria.families.run_context import draw_skulls
    from calvaria.plugins.family import Draw
    from calvaria.storage.cohorts import training_population
    from calvaria.storage.store import write_shard
    from calvaria.utils.progress import Progress

    size, count = config.sample.shard_size, config.sample.count
    draws = [Draw(index, 0) for index in range(shard * size, min((shard + 1) * size, count))]
    progress = Progress(f"sample {family} {shard}", len(draws), "skulls")
    drawn = draw_skulls(run, config, family, training_population(run), draws, progress.advance)
    volumes = np.stack([one.skull for one in drawn])
    rows = [ancestry(draw, family, one) for draw, one in zip(draws, drawn, strict=True)]
    write_shard(run.sample(family), shard, count, size, config.grid.voxels(), volumes, rows)


def ancestry(draw: Draw, family: str, drawn: Drawn) -> SampleColumns:
    """Return the row columns that describe the origin of a synthetic skull."""
    return {
        "family": family,
        "attempt": draw.attempt,
        "parents": list(drawn.parents),
        "parameters": drawn.parameters,
        "fault": drawn.fault,
    }


STAGE = Stage(
    name="sample",
    help=__doc__,
    run=sample,
    outputs=lambda run, family, shard: shard_files(run.sample(family), shard),
    reads=reads.draws,
    key=FAMILY,
    number=SHARD,
    count=sample_shards,
    roots=roots.families,
    cost=costs.sample,
    recomputable=True,
)
