"""sheet: a contact sheet of the ingested skulls, to look at before anything is learned from them."""

from calvaria.config import Config
from calvaria.report.sheet import contact_sheet
from calvaria.storage.paths import Run
from calvaria.storage.store import write_atomically


def sheet(run: Run, config: Config, shard: int) -> None:
    """Writes the contact sheet of one shard of the ingest store."""
    rows = run.ingest.shard_rows(shard)
    volumes = list(run.ingest.volumes(rows))
    write_atomically(run.sheet(shard), contact_sheet(rows, volumes, config.grid.voxels()))
