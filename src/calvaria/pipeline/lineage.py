"""What a volume of a run was made from, step by step, back to the real skulls."""

from collections.abc import Iterator
from typing import Any

from calvaria.config import HELD_OUT, Config
from calvaria.errors import InputError
from calvaria.pipeline.manifest import stores
from calvaria.storage.paths import Run


def ancestry(run: Run, config: Config, store: str, volume: int) -> Iterator[dict[str, Any]]:
    """The rows of a volume and of all that it descends from, each with the name of its store.

    A draw that was rejected is no ancestor; ``attempt`` of a screened skull says which draw it is.

    Raises:
        InputError: if the run has no such store, or the store no such volume.
        StoreError: if a store is missing or damaged.
    """
    named = {one.path.relative_to(run.root).as_posix(): one for one in stores(run, config)}
    if store not in named:
        raise InputError(f"{run.root}: no store {store!r}, there are {', '.join(named)}")
    rows = named[store].rows()
    if not 0 <= volume < len(rows):
        raise InputError(f"{run.root / store}: expected a volume from 0 to {len(rows) - 1}, got {volume}")
    row = rows[volume]
    yield {"store": store, **row}
    if above := _made_from(store, row):
        yield from ancestry(run, config, *above)
    else:
        ingested = {about["id"]: about for about in run.ingest.rows()}
        for parent in row.get("parents", []):
            yield {"store": run.ingest.path.name, **ingested[parent]}


def _made_from(store: str, row: dict[str, Any]) -> tuple[str, int] | None:
    """The store and number of the volume that another was made from; None if it was made from real skulls."""
    stage, _, name = store.removesuffix(".zarr").partition("/")
    if stage == "evaluate":
        return "inject/test.zarr", row["case"]
    if stage == "inject" and name not in HELD_OUT:
        return f"screen/{name}.zarr", row["skull"]
    if stage == "screen" and row["attempt"] == 0:
        return f"sample/{name}.zarr", row["index"]
    return None
