"""Head CTs in Hounsfield units: NIfTI or NRRD files, or folders of DICOM slices. `bone` says what is kept."""

from pathlib import Path

import numpy as np

from calvaria.config import CtSource
from calvaria.errors import InputError
from calvaria.sources import Entry, Scan
from calvaria.sources.bone import bones
from calvaria.sources.dicom import holds_dicom, is_dicom, is_enhanced, read_series
from calvaria.sources.listing import Item, contents, entries_of, identify
from calvaria.sources.volumes import Volume, read_volume
from calvaria.sources.voxels import extremes

AIR_HU = -200.0  # every head CT has voxels below, as there is air around the head


def entries(name: str, source: CtSource) -> list[Entry]:
    """One entry for each volume and each subfolder with DICOM slices; the folder itself if it holds slices.

    Raises:
        InputError: if there is no such folder, nothing in it, or if pattern or person are malformed.
    """
    items = []
    loose = False
    for path in contents(name, source):
        item = identify(path)
        if item is None and path.is_dir():
            item = _series(path)
        if item is not None and item.stray and is_dicom(path):
            enhanced = is_enhanced(path)  # a head by itself
            loose, item = loose or not enhanced, Item(path) if enhanced else None
        if item is not None:
            items.append(item)
    if loose:
        # Resolved, since "." has no name.
        items.append(Item(source.path if source.path.name else source.path.resolve()))
    return entries_of(name, source, items)


def read(source: CtSource, entry: Entry, seed: int) -> Scan:
    """Reads a CT and finds its skull; label 1 is bone.

    Raises:
        InputError: if it cannot be read, is not in Hounsfield units, or holds no bone.
    """
    if entry.fault is not None:
        raise InputError(entry.fault)
    path = entry.files[0]
    if path.is_dir():
        # Of slices beside folders: each of those is an entry of its own.
        own = path.resolve() == source.path.resolve()
        volume = read_series(path, source.series, subfolders=not own)
    else:
        volume = read_volume(path)
    check_hounsfield(path, volume, source.threshold_hu)
    mask = bones(volume.values, volume.affine, source.threshold_hu)
    if not mask.any():
        raise InputError(
            f"{path}: no bone of {source.threshold_hu:g} HU was found near the head; lower threshold_hu, or "
            "check that the CT shows a head"
        )
    return Scan(mask.view(np.uint8), volume.affine)


def check_hounsfield(path: Path, volume: Volume, threshold_hu: float) -> None:
    """Refuses what cannot be a CT in Hounsfield units.

    Raises:
        InputError: if there is no air, or nothing as dense as bone.
    """
    low, high = extremes(volume.values)
    if low > AIR_HU:
        some = np.unique(volume.values[:, :, :: max(volume.values.shape[2] // 8, 1)])
        if len(some) <= 3 and low >= 0:
            raise InputError(
                f"{path}: holds few values, from {low:g} to {high:g}, and is a mask, wanted Hounsfield "
                "units; read it with kind: folder"
            )
        raise InputError(
            f"{path}: its values, from {low:g} to {high:g}, are not in Hounsfield units, wanted air of about "
            "-1000; export it with the rescale intercept (often -1024) applied"
        )
    if high < threshold_hu:
        raise InputError(
            f"{path}: its greatest value is {high:g} HU, wanted bone of at least threshold_hu "
            f"({threshold_hu:g}); check that it is a CT of a head, or lower threshold_hu"
        )


def _series(folder: Path) -> Item:
    """A subfolder as a series; which one, and whether it is whole, is seen when it is read."""
    try:
        found = holds_dicom(folder)
    except InputError as error:
        return Item(folder, str(error))
    if found:
        return Item(folder)
    return Item(
        folder,
        f"{folder}: holds no DICOM slices, wanted those of one series in it; move them up or the folder away",
        stray=True,
    )
