"""The real cases for the contact sheets and the comparison of distributions, ingested at 2 mm."""

import os
import tempfile
from pathlib import Path

import numpy as np

from calvaria.geometry.grid import Grid
from calvaria.skull.examine import examine
from calvaria.sources.folder import FolderSource

ROOT = Path(__file__).parents[1]
GRID = Grid((96, 112, 96), 2.0)
TOP_MARGIN_MM = 10.0
CACHE = Path(tempfile.gettempdir()) / "calvaria_skullfix_2mm.npz"


def skulls() -> dict[str, np.ndarray]:
    """Return (x, y, z) uint8 labels with real implants by id, of all cases without a fault; cache them."""
    if not CACHE.is_file():
        path = Path(os.environ.get("CALVARIA_REAL_DATA", ROOT.parent / "shared" / "data"))
        source = FolderSource(kind="folder", path=path / "skullfix_1mm")
        found = {}
        for entry in source.entries("skullfix"):
            examined = examine(source.read(entry, 0), GRID, TOP_MARGIN_MM)
            if examined.fault is None:
                found[entry.own_id] = examined.labels
        np.savez_compressed(CACHE, **found)
    with np.load(CACHE) as file:
        return {id: file[id] for id in sorted(file.files)}
