"""A folder of label volumes: 0 background, 1 bone, 2 implant (optional); or masks of 0 and 255."""

from calvaria.config import FolderSource
from calvaria.errors import InputError
from calvaria.geometry.grid import IMPLANT
from calvaria.sources import Entry, Scan
from calvaria.sources.listing import contents, entries_of, identify
from calvaria.sources.summary import summarise
from calvaria.sources.volumes import labels_of, looks_like_ct, read_volume


def entries(name: str, source: FolderSource) -> list[Entry]:
    """One entry for each volume, and one with a fault for each other file.

    Raises:
        InputError: if there is no such folder, nothing in it, or if pattern or person are malformed.
    """
    items = [item for path in contents(name, source) if (item := identify(path)) is not None]
    return entries_of(name, source, items)


def read(source: FolderSource, entry: Entry, seed: int) -> Scan:
    """Read one label volume; the seed has no effect.

    Raises:
        InputError: if it is not a readable three-dimensional volume of labels with a sane affine.
    """
    if entry.fault is not None:
        raise InputError(entry.fault)
    path = entry.files[0]
    volume = read_volume(path)
    if looks_like_ct(volume.values):
        raise InputError(
            f"{path}: looks like a CT in Hounsfield units, expected labels; read such files in a source of "
            "kind: ct"
        )
    found = labels_of(path, volume)
    summary = summarise(
        "label volume" if found.values.max() == IMPLANT else "mask", found.values, found.affine, found.origin
    )
    return Scan(found.values, found.affine, summary)
