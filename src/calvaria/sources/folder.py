"""A folder of label volumes: 0 background, 1 bone, 2 implant (optional); or masks of 0 and 255."""

from calvaria.config import FolderSource
from calvaria.errors import InputError
from calvaria.sources import Entry, Scan
from calvaria.sources.listing import contents, entries_of, identify
from calvaria.sources.volumes import read_labels


def entries(name: str, source: FolderSource) -> list[Entry]:
    """One entry for each volume, and one with a fault for each file that is none.

    Raises:
        InputError: if there is no such folder, nothing in it, or if pattern or person are malformed.
    """
    items = [item for path in contents(name, source) if (item := identify(path)) is not None]
    return entries_of(name, source, items)


def read(source: FolderSource, entry: Entry, seed: int) -> Scan:
    """Reads one label volume.

    Raises:
        InputError: if it is not a readable three-dimensional volume of labels with a sane affine.
    """
    if entry.fault is not None:
        raise InputError(entry.fault)
    volume = read_labels(entry.files[0])
    return Scan(volume.values, volume.affine)
