"""Head CTs in Hounsfield units, in files or folders of DICOM slices, segmented by `bone`."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from calvaria.errors import InputError
from calvaria.plugins.costs import SourceCost
from calvaria.plugins.scan import summarise
from calvaria.plugins.source import Entry, FileSource, Scan
from calvaria.sources.dicom import holds_dicom, is_dicom, is_enhanced, read_series
from calvaria.sources.listing import Item, contents, entries_of, identify
from calvaria.sources.volumes import Volume, is_label_like, read_volume
from calvaria.sources.voxels import extremes, slabs

AIR_HU = -200.0  # every head CT has lower voxels, as there is air around the head


class CtSource(FileSource):
    """Head CTs in Hounsfield units: NIfTI, NRRD or MetaImage files, or a folder of DICOM slices for each."""

    kind: Literal["ct"]
    """Selects head CTs."""
    pattern: str = "*"
    """Glob pattern of files or DICOM folders; ids are names without suffix, or paths if names are equal."""
    person: str | None = None
    """Regular expression for skull ids whose first group is the person; null: each CT is another person."""
    series: str | None = None
    """Number, UID or part of the description of the DICOM series; null selects the thinnest sharp one."""
    threshold_hu: float = Field(300.0, gt=-200, lt=1500)
    """Minimum Hounsfield units of bone."""

    def estimated_cost(self) -> SourceCost:
        return SourceCost(scan_s=5.0)

    def entries(self, name: str) -> list[Entry]:
        """Return one entry per volume and subfolder with DICOM slices; the folder itself if it has slices.

        Raises:
            InputError: if there is no such folder, nothing in it, or if pattern or person are malformed.
        """
        items = []
        loose = False
        for path in contents(name, self):
            item = identify(path)
            if item is None and path.is_dir():
                item = _series(path)
            if item is not None and item.stray and is_dicom(path):
                enhanced = is_enhanced(path)  # a volume by itself
                loose, item = loose or not enhanced, Item(path) if enhanced else None
            if item is not None:
                items.append(item)
        if loose:
            # Resolved, since "." has no name.
            items.append(Item(self.path if self.path.name else self.path.resolve()))
        return entries_of(name, self, items)

    def read(self, entry: Entry, seed: int) -> Scan:
        """Read a CT and segment its skull, label 1; the seed has no effect.

        Raises:
            InputError: if it cannot be read, is not in Hounsfield units, or holds no bone.
        """
        from calvaria.sources.bone import bones

        if entry.fault is not None:
            raise InputError(entry.fault)
        path = entry.files[0]
        if path.is_dir():
            # If slices lie beside subfolders, each subfolder is a separate entry.
            is_root = path.resolve() == self.path.resolve()
            volume = read_series(path, self.series, subfolders=not is_root)
        else:
            volume = read_volume(path)
        check_hounsfield(path, volume, self.threshold_hu)
        mask = bones(volume.values, volume.affine, self.threshold_hu)
        if not mask.any():
            raise InputError(
                f"{path}: no bone of {self.threshold_hu:g} HU was found near the head; lower threshold_hu, "
                "or check that the CT shows a head"
            )
        summary = summarise("CT", volume.values, volume.affine, volume.origin)
        return Scan(mask.view(np.uint8), volume.affine, summary)


def check_hounsfield(path: Path, volume: Volume, threshold_hu: float) -> None:
    """Raise an error unless the values may be a CT in Hounsfield units.

    Raises:
        InputError: if there is no air, as without the rescale intercept, or nothing as dense as bone.
    """
    low, high = extremes(volume.values)
    if low > AIR_HU and is_label_like(volume):
        raise InputError(
            f"{path}: expected Hounsfield units, got few values from {low:g} to {high:g}, as of a mask or "
            "label volume; read it with kind: folder"
        )
    if low > AIR_HU or _is_padding(volume.values, low):
        lowest = f"nothing below {low:g}" if low > AIR_HU else f"only the padding {low:g} below {AIR_HU:g}"
        raise InputError(
            f"{path}: is not in Hounsfield units, the rescale intercept was not applied: there is {lowest}, "
            "expected air of about -1000; export it from the DICOM series with rescale slope and intercept "
            "applied, or add the intercept (often -1024)"
        )
    if high < threshold_hu:
        raise InputError(
            f"{path}: its greatest value is {high:g} HU, expected bone of at least threshold_hu "
            f"({threshold_hu:g}); check that it is a CT of a head, or lower threshold_hu"
        )


def _is_padding(values: npt.NDArray[Any], low: float) -> bool:
    """Return whether a CT's minimum is padding outside the reconstruction, and there is no air."""
    if -1200 <= low <= -800:
        return False
    return not any(bool(((slab < AIR_HU) & (slab != low)).any()) for slab in slabs(values))


def _series(folder: Path) -> Item:
    """Return a subfolder as a series, which is selected and checked when it is read."""
    try:
        has_slices = holds_dicom(folder)
    except InputError as error:
        return Item(folder, str(error))
    if has_slices:
        return Item(folder)
    return Item(
        folder,
        f"{folder}: holds no DICOM slices, expected those of one series; move them up or the folder away",
        stray=True,
    )
