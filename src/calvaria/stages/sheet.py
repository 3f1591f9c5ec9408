"""Make a contact sheet of the ingested skulls.

Example: calvaria sheet --run results/demo --shard 0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calvaria.pipeline import costs, reads
from calvaria.pipeline.stage import SHARD, Stage, ingest_shards

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.storage.paths import Run


def sheet(run: Run, config: Config, shard: int) -> None:
    """Write the contact sheet of one shard of the ingest store."""
    from calvaria.report.sheet import contact_sheet
    from calvaria.storage.store import write_atomically

    rows = run.ingest.shard_rows(shard)
    volumes = list(run.ingest.volumes(rows))
    write_atomically(run.sheet(shard), contact_sheet(rows, volumes, config.grid.voxels()))


STAGE = Stage(
    name="sheet",
    help=__doc__,
    run=sheet,
    outputs=lambda run, _, shard: (run.sheet(shard),),
    reads=lambda config, *_: reads.section(config, "grid"),
    number=SHARD,
    count=ingest_shards,
    cost=costs.sheet,
    is_data=False,
)
