"""Reads a folder of DICOM slices as one volume in Hounsfield units.

SimpleITK (GDCM) reads and rescales each slice. How slices lie is taken from their own positions and not from
a spacing tag or from file names; so a tilted gantry, which shifts each slice within its plane, gives the
sheared affine that is true, and a slice that is missing is noticed.
"""

import locale
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calvaria.errors import InputError
from calvaria.sources.listing import is_note
from calvaria.sources.opening import open_checked, reason
from calvaria.sources.slices import SCOUT_SLICES, Slice, stack_affine
from calvaria.sources.voxels import MAX_VOXELS, Volume

# Reports, presentation states, radiotherapy plans, documents and DICOMDIR: DICOM, but no images.
_NO_IMAGE = re.compile(rb"1\.2\.840\.10008\.(5\.1\.4\.1\.1\.(88|11|481|104)\.|1\.3\.10)")


def is_slice(path: Path) -> bool:
    """Whether a file calls itself DICOM; files that cannot be opened do not."""
    try:
        return not is_note(path) and _says_dicom(path)
    except InputError:
        return False


def read_series(folder: Path) -> Volume:
    """Reads the one CT series of a folder, its slices in any order of names.

    Files that are not DICOM are ignored, and DICOM objects that are no images. Beside a longer series, others
    of up to three slices are ignored too: localizers and dose pages.

    Returns:
        int16 Hounsfield units, or float32 where these do not fit.

    Raises:
        InputError: if there are no slices, several series, another modality than CT, slices that are missing,
            there twice, damaged, or different in direction, size or pixel spacing.
    """
    with own_locale():
        return _read_series(folder)


@contextmanager
def own_locale() -> Iterator[None]:
    """GDCM sets the process's locale to plain C, and Python would then take text files for ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


def _read_series(folder: Path) -> Volume:
    slices = _one_series(folder, _slices(folder))
    slices = sorted(slices, key=lambda found: (found.height, found.path.name))
    affine = stack_affine(folder, slices)
    if len(slices) * slices[0].size[0] * slices[0].size[1] > MAX_VOXELS:
        raise InputError(f"{folder}: has more than {MAX_VOXELS} voxels, wanted a head CT; resample it")
    planes = [_pixels(found) for found in slices]
    return Volume(np.stack(planes).transpose(2, 1, 0), affine)


def _slices(folder: Path) -> list[Slice]:
    try:
        paths = sorted(path for path in folder.iterdir() if not is_note(path) and not path.is_dir())
    except OSError as error:
        raise InputError(f"{folder}: {reason(error)}") from None
    # A file that cannot be opened or has lost its beginning may be a slice at an end; no gap would show it.
    slices = [found for path in paths if _says_dicom(path) and (found := _header(path)) is not None]
    if not slices:
        raise InputError(
            f"{folder}: holds no DICOM slices, wanted those of one CT series; put them directly into it"
        )
    return slices


def _says_dicom(path: Path) -> bool:
    """Whether a file begins like DICOM; an error if only its name says so."""
    with open_checked(path) as file:
        found = file.read(132)[128:] == b"DICM"
    if not found and path.suffix.lower() in (".dcm", ".ima"):
        raise InputError(
            f"{path}: is no DICOM file whatever its name says; copy the series again or remove it"
        )
    return found


def _header(path: Path) -> Slice | None:
    """What a slice says of itself; None if the file is DICOM but no image."""
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        with open_checked(path) as file:
            if _NO_IMAGE.search(file.read(2048)):
                return None
        raise InputError(
            f"{path}: cannot be read as a DICOM slice, it is cut off or damaged; copy the series again"
        ) from None

    def tag(key: str) -> str:
        return str(reader.GetMetaData(key)).strip(" \0") if reader.HasMetaDataKey(key) else ""

    size = reader.GetSize()
    if len(size) > 2 and size[2] > 1:
        raise InputError(
            f"{path}: holds {size[2]} frames, wanted one slice for each file; convert it to NIfTI (dcm2niix)"
        )
    try:
        position = np.array([float(part) for part in tag("0020|0032").split("\\")])
        directions = np.array([float(part) for part in tag("0020|0037").split("\\")]).reshape(2, 3)
        column_mm, row_mm = (float(part) for part in tag("0028|0030").split("\\"))
        finite = np.isfinite([*position, *directions.ravel(), column_mm, row_mm]).all()
        upright = np.allclose(directions @ directions.T, np.eye(2), atol=1e-2)
        placed = finite and len(position) == 3 and min(column_mm, row_mm) > 0 and upright
    except ValueError:
        placed = False
    if not placed:
        # Localizers and pages of text may lack these; whether that matters is known when the series is.
        position, directions, column_mm, row_mm = np.full(3, np.nan), np.full((2, 3), np.nan), 0.0, 0.0
    series = tag("0020|000e")
    return Slice(
        path, series, tag("0008|0060"), position, directions, (row_mm, column_mm), (size[0], size[1])
    )


def _one_series(folder: Path, slices: list[Slice]) -> list[Slice]:
    series: dict[str, list[Slice]] = {}
    for found in slices:
        series.setdefault(found.series, []).append(found)
    long = [found for found in series.values() if len(found) > SCOUT_SLICES]
    long = long or list(series.values())
    if len(long) > 1:
        listed = ", ".join(f"{found[0].series} ({len(found)} slices)" for found in long)
        raise InputError(f"{folder}: holds {len(long)} series: {listed}; keep one, move the others away")
    [one] = long
    for found in one:
        if found.modality != "CT":
            raise InputError(f"{found.path}: is of modality {found.modality or 'none'}, wanted CT; remove it")
        if np.isnan(found.position).any():
            raise InputError(
                f"{found.path}: lacks a valid position, orientation or pixel spacing; export the series again"
            )
    return one


def _pixels(found: Slice) -> npt.NDArray[Any]:
    """(j, i) Hounsfield units of a slice, int16 or float32."""
    import SimpleITK

    try:
        pixels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(found.path), imageIO="GDCMImageIO"))
    except RuntimeError:
        raise InputError(
            f"{found.path}: its pixels cannot be read, it is cut off or compressed in a rare way; copy "
            "the series again or convert it to NIfTI (dcm2niix)"
        ) from None
    pixels = pixels.reshape(pixels.shape[-2:]) if pixels.size == found.size[0] * found.size[1] else pixels
    if pixels.ndim != 2 or pixels.dtype.kind not in "iuf" or not np.isfinite(pixels).all():
        raise InputError(
            f"{found.path}: holds colours, several frames, or NaN; wanted one grey slice; remove it"
        )
    small = pixels.astype(np.int16) if np.abs(pixels).max() < 2**15 else pixels
    return small if np.array_equal(small, pixels) and small.dtype == np.int16 else pixels.astype(np.float32)
