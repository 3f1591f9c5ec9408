"""Read the remaining bone from a file, and locate the head in it."""

from pathlib import Path

import numpy as np
from pydantic import ValidationError

from calvaria.errors import InputError
from calvaria.geometry.canonical import Canonical
from calvaria.geometry.grid import BONE, IMPLANT, Grid
from calvaria.plugins.scan import Kind, summarise
from calvaria.skull.examine import Head, find_head
from calvaria.skull.quality import Finding, first_fault
from calvaria.sources import Entry, Scan
from calvaria.sources.ct import CtSource
from calvaria.sources.opening import reason
from calvaria.sources.volumes import is_label_like, read_volume, skull_of

TOO_LARGE = "check the header's spacing, or use a model with a larger grid"


def read_bone(path: Path, threshold_hu: float, series: str | None = None) -> Scan:
    """Read the remaining bone in a file as label 1; an implant in a label volume is ignored.

    Raises:
        InputError: if the file cannot be read or is neither a CT nor a mask, or if the threshold is invalid.
    """
    source = ct_source(path, threshold_hu, series)
    try:
        folder = path.is_dir()
    except OSError as error:
        raise InputError(f"{path}: {reason(error)}") from None
    if not folder:
        volume = read_volume(path)
        if is_label_like(volume):
            labels = skull_of(path, volume)
            del volume  # which may have eight bytes per voxel
            kind: Kind = "label volume" if labels.values.max() == IMPLANT else "mask"
            summary = summarise(kind, labels.values, labels.affine, labels.origin)
            return Scan((labels.values == BONE).view(np.uint8), labels.affine, summary)
    entry = Entry(f"input/{path.name}", path.name, (path,))
    return source.read(entry, 0)


def ct_source(path: Path, threshold_hu: float, series: str | None) -> CtSource:
    """Return the source that reads a CT.

    Raises:
        InputError: if the threshold is invalid.
    """
    try:
        # Absolute, as "." is its own parent.
        return CtSource(kind="ct", path=path.absolute().parent, threshold_hu=threshold_hu, series=series)
    except ValidationError as error:
        raise InputError(f"--threshold-hu {threshold_hu:g}: {error.errors()[0]['msg']} HU") from None


def usable_head(path: Path, scan: Canonical, grid: Grid, top_margin_mm: float) -> Head:
    """Return the head in a scan's remaining bone.

    Raises:
        InputError: if there is none, or not one that an implant can be predicted for.
    """
    head = find_head(scan, grid, top_margin_mm, TOO_LARGE)
    fault = head if isinstance(head, Finding) else first_fault(head.findings)
    if isinstance(head, Finding) or fault is not None:
        raise InputError(f"{path}: {fault}")
    return head
