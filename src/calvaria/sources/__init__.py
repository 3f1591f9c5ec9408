"""Where real skulls come from. A source lists ids cheaply and reads one scan at a time.

=========  ===========================================================================
phantom    procedural skulls from the run's seed (``sources/phantom.py``)
folder     NIfTI label volumes in one folder (``sources/folder.py``)
=========  ===========================================================================
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calvaria import seeds
from calvaria.config import FolderSource, PhantomSource

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Scan:
    """One skull as its source has it."""

    id: str
    person: str  # whose skull it is; people, not scans, are split
    labels: "np.ndarray"  # (i, j, k) uint8: 0 background, 1 bone, 2 implant
    affine: "np.ndarray"  # (4, 4) voxel indices to RAS+ millimetres


def ids(source: PhantomSource | FolderSource) -> list[str]:
    """The ids of all skulls of a source, in a fixed order; reads no volume.

    Raises:
        InputError: if a folder is missing or has too few matching files.
    """
    if isinstance(source, PhantomSource):
        return [f"phantom-{index:04d}" for index in range(source.count)]
    from calvaria.sources import folder

    return [folder.skull_id(path) for path in folder.files(source)]


def paths(source: PhantomSource | FolderSource) -> list[Path]:
    """The files of all skulls, in the order of ``ids``; none for phantoms."""
    if isinstance(source, PhantomSource):
        return []
    from calvaria.sources import folder

    return folder.files(source)


def read(source: PhantomSource | FolderSource, seed: int, index: int) -> Scan:
    """Reads, or builds, the skull at a position of ``ids``.

    Raises:
        InputError: naming the file and what is wrong with it.
    """
    if isinstance(source, PhantomSource):
        from calvaria.sources import phantom

        drawn = phantom.sample_phantom(seeds.generator(seed, "ingest", "phantom", index))
        mask, affine = phantom.build_phantom(drawn, source.spacing_mm)
        name = ids(source)[index]
        return Scan(name, name, mask, affine)
    from calvaria.sources import folder

    return folder.read(folder.files(source)[index])
