"""Read DICOM as scanners and PACS write it: one head CT in Hounsfield units out of a folder or a file.

``headers`` reads the files' headers, ``series`` groups slices and chooses a series, ``stack`` determines
the positions of its slices, and ``pixels`` decodes them. The position of a slice is read from its header,
not from a spacing tag or file names, so that a tilted gantry, which shifts each slice within its plane,
gives the true, sheared affine, and a missing slice is detected.
"""

import os
from pathlib import Path

from calvaria.errors import InputError
from calvaria.plugins.scan import LeftOut, Origin, describe_left_out
from calvaria.sources.dicom.headers import (
    Header,
    Plane,
    begins_like_dicom,
    is_dicom,
    is_enhanced,
    read_header,
)
from calvaria.sources.dicom.pixels import read_pixels, resample
from calvaria.sources.dicom.series import choose, describe, series_of, without_copies
from calvaria.sources.dicom.stack import stack
from calvaria.sources.listing import is_note
from calvaria.sources.opening import reason
from calvaria.sources.voxels import MAX_VOXELS, Volume

__all__ = ["holds_dicom", "is_dicom", "is_enhanced", "read_file", "read_series"]


def read_series(folder: Path, series: str | None = None, *, subfolders: bool = True) -> Volume:
    """Read one CT series of a folder, its slices in any order of names.

    Objects without an image, images of other modalities, localizers, copies and slices of another geometry
    are left out; ``origin`` of the volume lists them. Of several series the thinnest sharp one of a whole
    head is read, and a note in ``origin`` records it.

    Args:
        series: the number, UID or part of the description of the series to read.
        subfolders: whether files in subfolders belong to the series.

    Returns:
        (i, j, k) int16 Hounsfield units, or float32 where these do not fit; padding is air.

    Raises:
        InputError: if there are no CT slices or none of this series, if it is of several patients or
            acquisitions, or if slices are missing, in one place, or damaged.
    """
    headers, left_out = [], []
    for path in _files(folder, subfolders):
        # An unreadable file is an error: it may be a slice at an end, whose absence leaves no gap.
        if path.name.upper().startswith("DICOMDIR"):
            left_out.append(LeftOut(_below(folder, path), "directory of a medium"))
        elif begins_like_dicom(path):
            headers.append(read_header(path))
        else:
            left_out.append(LeftOut(_below(folder, path), "not DICOM"))
    if not headers:
        raise InputError(
            f"{folder}: holds no DICOM slices, expected those of one CT series; put them into it"
        )
    planes, others = _ct_planes(folder, headers)
    return _volume(folder, planes, [*left_out, *others], series)


def read_file(path: Path) -> Volume:
    """Read an enhanced CT: one DICOM file with all slices as its frames.

    Returns:
        as for ``read_series``.

    Raises:
        InputError: as for ``read_series``, or if the file holds a single slice.
    """
    header = read_header(path)
    if len(header.planes) == 1:
        raise InputError(f"{path}: is one DICOM slice; give its folder, {path.absolute().parent}")
    if header.modality not in ("CT", ""):
        raise InputError(f"{path}: is of modality {header.modality}, expected CT; choose a CT")
    if not header.planes:
        raise InputError(
            f"{path}: is DICOM without a CT volume ({header.reason}); give the folder of a CT series"
        )
    planes, left_out = _ct_planes(path, [header])
    return _volume(path, planes, left_out, None)


def holds_dicom(folder: Path) -> bool:
    """Return whether there is a DICOM file in a folder or below it.

    Raises:
        InputError: if a folder may not be listed.
    """
    return any(is_dicom(path) for path in _files(folder, subfolders=True))


def _files(folder: Path, subfolders: bool) -> list[Path]:
    """Return all files but hidden ones and notes, in the order of their paths."""

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename or folder}: {reason(error)}")

    files = []
    for where, below, names in os.walk(folder, onerror=refuse):
        below[:] = sorted(name for name in below if subfolders and not name.startswith("."))
        paths = (Path(where, name) for name in names)
        files += [path for path in paths if path.name.upper().startswith("DICOMDIR") or not is_note(path)]
    return sorted(files)


def _below(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix() if path != folder else path.name


def _ct_planes(folder: Path, headers: list[Header]) -> tuple[list[Plane], list[LeftOut]]:
    """Return the planes of CT images, and the files without."""
    images = [header for header in headers if header.modality]
    cts = [header for header in images if header.modality == "CT"]
    if images and not cts:
        modalities = sorted({header.modality for header in images})
        what = "the series is of modality" if len(modalities) == 1 else "holds images of modality"
        raise InputError(f"{folder}: {what} {' and '.join(modalities)}, expected CT; get the CT series")
    # Secondary captures may be slices of a volume, but images of the scanner are preferred.
    cts = [header for header in cts if not header.captured] or cts
    taken = {header.path for header in cts if header.planes}
    left_out = [
        LeftOut(
            _below(folder, header.path),
            header.reason or ("secondary capture" if header.captured else f"modality {header.modality}"),
        )
        for header in headers
        if header.path not in taken
    ]
    planes = [plane for header in cts for plane in header.planes]
    if not planes:
        raise InputError(
            f"{folder}: holds no DICOM slices of a CT; {describe_left_out(left_out)}; export the "
            "series again, with its original images"
        )
    return planes, left_out


def _volume(folder: Path, planes: list[Plane], left_out: list[LeftOut], text: str | None) -> Volume:
    planes, copies = without_copies(planes)
    every, single = series_of(folder, planes)
    chosen, notes = choose(folder, every, text)
    odd = [LeftOut(_below(folder, plane.path), chosen.oddity(plane)) for plane in single]
    copied = [LeftOut(_below(folder, plane.path), "copy of another file") for plane in copies]
    geometry = stack(folder, chosen.planes, odd)
    rows, columns = chosen.first.size[1], chosen.first.size[0]
    if geometry.count * rows * columns > MAX_VOXELS:
        raise InputError(f"{folder}: has more than {MAX_VOXELS} voxels, expected a head CT; resample it")
    values = resample(read_pixels(chosen.planes), geometry.places)
    origin = Origin(describe(chosen), (*left_out, *copied, *odd), (*notes, *geometry.notes))
    return Volume(values.transpose(2, 1, 0), geometry.affine, origin)
