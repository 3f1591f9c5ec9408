"""Lineage of a volume of a run, back to the real skulls."""

from collections.abc import Iterator
from typing import Any

from calvaria.config import HELD_OUT, Config
from calvaria.errors import InputError
from calvaria.pipeline.manifest import stores
from calvaria.storage.paths import Run


def ancestry(run: Run, config: Config, store: str, volume: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a volume and of its ancestors, each with the name of its store.

    Rejected draws are not ancestors; ``attempt`` of a screened skull is the number of its draw.

    Raises:
        InputError: if the run has no such store, or the store no such volume.
        StoreError: if a store is missing or damaged.
    """
    named = {store.path.relative_to(run.root).as_posix(): store for store in stores(run, config)}
    if store not in named:
        raise InputError(f"{run.root}: no store {store!r}, there are {', '.join(named)}")
    rows = named[store].rows()
    if not 0 <= volume < len(rows):
        raise InputError(f"{run.root / store}: expected a volume from 0 to {len(rows) - 1}, got {volume}")
    row = rows[volume]
    yield {"store": store, **row}
    if parent := _parent(store, row):
        yield from ancestry(run, config, *parent)
    else:
        ingested = {scan["id"]: scan for scan in run.ingest.rows()}
        for skull in row.get("parents", []):
            yield {"store": run.ingest.path.name, **ingested[skull]}


def _parent(store: str, row: dict[str, Any]) -> tuple[str, int] | None:
    """Return store and index of the volume that another derives from; None if it derives from real skulls."""
    stage, _, name = store.removesuffix(".zarr").partition("/")
    if stage == "evaluate":
        return "inject/test.zarr", row["case"]
    if stage == "inject" and name not in HELD_OUT:
        return f"screen/{name}.zarr", row["skull"]
    if stage == "screen" and row["attempt"] == 0:
        return f"sample/{name}.zarr", row["index"]
    return None
