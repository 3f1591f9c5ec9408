"""Read skulls from their sources, check them and conform them to the grid.

Example: calvaria ingest --run results/demo --shard 0
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from calvaria.errors import InputError
from calvaria.pipeline import costs, reads, roots
from calvaria.pipeline.stage import SHARD, Stage, ingest_shards, shard_files

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.skull.examine import Examined
    from calvaria.skull.quality import Finding
    from calvaria.sources import Entry, Scan
    from calvaria.storage.paths import Run
    from calvaria.storage.rows import IngestColumns

logger = logging.getLogger(__name__)


def ingest(run: Run, config: Config, shard: int) -> None:
    """Write one shard of the ingest store, the occupancies of its voxels, and the pictures of its vaults.

    A faulty or doubtful skull is stored with its verdict; an unreadable one is an empty volume.
    """
    import numpy as np

    from calvaria import sources
    from calvaria.skull import ACCEPTED, is_accepted
    from calvaria.skull.examine import examine
    from calvaria.skull.quality import Finding
    from calvaria.skull.vault_map import SIZE
    from calvaria.storage.store import write_shard
    from calvaria.storage.tensors import write_tensors
    from calvaria.utils.progress import Progress

    entries = sources.catalogue(config.ingest.sources)
    size = config.ingest.shard_size
    grid = config.grid.voxels()
    chosen = entries[shard * size : (shard + 1) * size]
    progress = Progress(f"ingest {shard}", len(chosen), "skulls")
    volumes = np.zeros((len(chosen), *grid.shape), np.uint8)
    occupancies = np.zeros_like(volumes)
    vaults = np.zeros((len(chosen), 3, SIZE, SIZE), np.float32)
    rows: list[IngestColumns] = []
    for volume, occupancy, vault, entry in zip(volumes, occupancies, vaults, chosen, strict=True):
        try:
            scan = sources.read(config.ingest.sources, entry, config.seed)
        except InputError as error:  # one bad file must not stop the others; people and report show it
            row = _row(entry, Finding("fault", "unreadable", str(error)), (), ())
        else:
            examined = examine(scan, grid, config.ingest.top_margin_mm)
            volume[:], occupancy[:] = examined.labels, examined.occupancy
            if examined.vault is not None:
                vault[:] = examined.vault.inner_mm, examined.vault.outer_mm, examined.vault.exit_mm
            row = _row(entry, examined.fault, examined.doubts, config.ingest.accept)
            _add_geometry(row, scan, examined)
        rows.append(row)
        if row["verdict"] != ACCEPTED:
            what = "accepted by name" if is_accepted(row) else "LEFT OUT"
            logger.warning("ingest: %s %s: %s: %s", what, row["id"], row["verdict"], row["reason"])
        progress.advance(row["id"])
    write_shard(run.ingest, shard, len(entries), size, grid, volumes, rows)
    write_tensors(run.occupancies(shard), {"occupancies": occupancies})
    write_tensors(run.vaults(shard), {"vaults": vaults})


def _row(
    entry: Entry, fault: Finding | None, doubts: Sequence[Finding], accept: Sequence[str]
) -> IngestColumns:
    """Return person and verdict; ``accepted_by`` is the pattern that names a doubtful skull."""
    from calvaria.skull import ACCEPTED, DOUBTFUL

    row: IngestColumns = {"id": entry.id, "person": entry.person, "verdict": ACCEPTED, "reason": None}
    if fault is not None:
        return row | {"verdict": fault.verdict, "reason": fault.reason}
    if not doubts:
        return row
    row |= {"verdict": DOUBTFUL, "reason": ". ".join(str(doubt) for doubt in doubts)}
    pattern = next((one for one in accept if one == entry.id or fnmatchcase(entry.id, one)), None)
    return row if pattern is None else row | {"accepted_by": pattern}


def _add_geometry(row: IngestColumns, scan: Scan, examined: Examined) -> None:
    """Add the scan's grid, its pose and the fit of the template, as far as known."""
    row["scan"] = {"shape": list(scan.labels.shape), "affine": scan.affine.tolist()}
    if examined.pose is not None and examined.to_box is not None:
        row["pose"] = examined.to_box.tolist()
        row["template"] = {"residual_mm": examined.pose.residual_mm, "size": examined.pose.size.tolist()}


def _reads(config: Config, _: str, shard: int) -> dict[str, Any]:
    keys = ("sources", "top_margin_mm", "shard_size", "accept")
    return reads.base(config) | {"ingest": config.ingest.model_dump(mode="json", include=set(keys))}


STAGE = Stage(
    name="ingest",
    help=__doc__,
    run=ingest,
    outputs=lambda run, _, shard: (
        *shard_files(run.ingest, shard),
        run.occupancies(shard),
        run.vaults(shard),
    ),
    reads=_reads,
    number=SHARD,
    count=ingest_shards,
    roots=roots.sources,
    cost=costs.ingest,
    recomputable=True,
)
