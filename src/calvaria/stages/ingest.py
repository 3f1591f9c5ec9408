"""ingest: skulls from their source onto the canonical grid, with a verdict for each."""

import numpy as np

from calvaria import sources
from calvaria.config import Config
from calvaria.errors import InputError
from calvaria.paths import Run
from calvaria.progress import Progress
from calvaria.sources.conform import conform
from calvaria.store import Row, write_shard

ACCEPTED = "ok"


def ingest(run: Run, config: Config, shard: int) -> None:
    """Writes one shard of the ingest store; a skull that cannot be used is an empty volume with a reason."""
    names = sources.ids(config.ingest.source)
    size = config.ingest.shard_size
    grid = config.grid.voxels()
    places = range(shard * size, min((shard + 1) * size, len(names)))
    progress = Progress(f"ingest {shard}", len(places), "skulls")
    volumes = np.zeros((len(places), *grid.shape), np.uint8)
    rows: list[Row] = []
    for volume, place in zip(volumes, places, strict=True):
        row = {"id": names[place], "person": names[place], "verdict": ACCEPTED}
        try:
            scan = sources.read(config.ingest.source, config.seed, place)
            row["person"] = scan.person
            volume[:] = conform(scan, grid, config.ingest.top_margin_mm)
        except InputError as error:  # one bad file must not hide the others; split and report say it loudly
            row["verdict"] = str(error)
        rows.append(row)
        progress.advance(row["id"] if row["verdict"] == ACCEPTED else f"LEFT OUT: {row['verdict']}")
    write_shard(run.ingest, shard, len(names), size, grid, volumes, rows)
