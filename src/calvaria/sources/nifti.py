"""Read NIfTI-1 and NIfTI-2 files, .nii and .nii.gz."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calvaria.errors import InputError
from calvaria.geometry.nifti_frames import from_quaternion, resolve
from calvaria.sources.opening import open_checked
from calvaria.sources.voxels import Layout, Readable, Volume, check_affine, check_layout, read_values

_GZIP_MAGIC = b"\x1f\x8b"
_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # by NIfTI's code of the unit; 0 is unknown


def read(path: Path) -> Volume:
    """Read one volume.

    Raises:
        InputError: as for `calvaria.sources.volumes.read_volume`.
    """
    with open_checked(path) as file:
        packed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if packed != path.name.lower().endswith(".gz"):
            kinds = ("gzip", "plain") if packed else ("plain", "gzip")
            raise InputError(
                f"{path}: is a {kinds[0]} file, its name ends as that of a {kinds[1]} one; rename it to "
                f"{'.nii.gz' if packed else '.nii'}"
            )
        try:
            if packed:
                with gzip.open(file, "rb") as stream:
                    return _read(path, stream, "gzip")
            return _read(path, file, "raw")
        except (EOFError, zlib.error, OSError) as error:
            raise InputError(
                f"{path}: is cut off or damaged ({error}); download or export it again"
            ) from None


def _read(path: Path, stream: Readable, encoding: str) -> Volume:
    header = _header(path, stream)
    slope, intercept = _rescale(path, header)
    shape = tuple(int(n) for n in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    dtype = np.dtype(header.get_data_dtype())
    start = float(header["vox_offset"])
    # Headers of files without extensions may contain 0.
    start = max(int(start) if np.isfinite(start) else -1, int(header["sizeof_hdr"]) + 4)
    layout = Layout(shape, dtype, encoding, start, slope, intercept)
    check_layout(path, layout, path.stat().st_size)
    affine = _affine(path, header, shape)
    _skip(path, stream, start - int(header["sizeof_hdr"]))
    return Volume(read_values(path, layout, stream), affine)


def _header(path: Path, stream: Readable) -> Any:
    import nibabel
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    start = stream.read(348)
    if len(start) < 348:
        raise InputError(
            f"{path}: holds {len(start)} bytes, fewer than a header's 348; it is cut off, download or "
            "export it again"
        )
    sizes = {struct.unpack(order + "i", start[:4])[0] for order in "<>"}
    try:
        # Unchecked: the checks repair some things silently, such as a negative spacing.
        if 348 in sizes and start[344:348] == b"n+1\0":
            header = nibabel.Nifti1Header(start, check=False)
        elif 540 in sizes and start[4:8] == b"n+2\0":
            header = nibabel.Nifti2Header(start + stream.read(540 - 348), check=False)
        else:
            raise InputError(
                f"{path}: is not a NIfTI file despite its extension; correct its name, or get the file again"
            )
        header.get_data_dtype()
        header.get_data_shape()
    except (HeaderDataError, WrapStructError, KeyError, ValueError) as error:
        raise InputError(f"{path}: its NIfTI header is damaged ({error}); repair it") from None
    return header


def _rescale(path: Path, header: Any) -> tuple[float, float]:
    """Return slope and intercept; in NIfTI, a slope of 0 or NaN is not to be applied."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or np.isnan(slope):
        return 1.0, 0.0
    if not np.isfinite([slope, intercept]).all():
        raise InputError(
            f"{path}: its header rescales values by {slope:g} and {intercept:g}, expected finite numbers; "
            "repair scl_slope and scl_inter"
        )
    return slope, intercept


def _affine(path: Path, header: Any, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    spacing = np.asarray(header["pixdim"][1:4], np.float64)
    if not (np.isfinite(spacing) & (spacing > 0)).all():
        raise InputError(
            f"{path}: its header has spacing {spacing.tolist()}, expected positive millimetres; repair pixdim"
        )
    unit = int(header["xyzt_units"]) & 7
    if unit not in _MILLIMETRES:
        raise InputError(f"{path}: its spacing is in the unknown unit {unit}, expected mm; repair xyzt_units")
    scale = np.array([[_MILLIMETRES[unit]]] * 3 + [[1.0]])
    sform = qform = None
    if header["sform_code"] > 0:
        sform = check_affine(path, np.asarray(header.get_sform(), np.float64) * scale)
    if header["qform_code"] > 0:
        qform = check_affine(path, _qform(path, header, spacing) * scale)
    try:
        return resolve(sform, qform, spacing * scale[0], shape)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def _qform(path: Path, header: Any, spacing: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    bcd = [float(header[f"quatern_{letter}"]) for letter in "bcd"]
    offset = [float(header[f"qoffset_{letter}"]) for letter in "xyz"]
    try:
        return from_quaternion(bcd, offset, spacing.tolist(), float(header["pixdim"][0]))
    except ValueError as error:
        raise InputError(f"{path}: its qform is damaged ({error}); repair the header") from None


def _skip(path: Path, stream: Readable, count: int) -> None:
    while count > 0:
        piece = stream.read(min(count, 1 << 20))
        if not piece:
            raise InputError(
                f"{path}: ends before its voxels begin; it is cut off, download or export it again"
            )
        count -= len(piece)
