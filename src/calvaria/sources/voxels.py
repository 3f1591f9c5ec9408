"""Reading of volume files: check the header, then read the voxels.

Voxels are read in pieces into one array, since a file may be damaged or misstate its size: nothing is
allocated before the header is checked against the file, and a gzip file is read up to its checksum.

Sheared affines are accepted: a tilted gantry produces them, and all later steps use the affine. Only a
shear that no scanner produces is rejected.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from calvaria.errors import InputError
from calvaria.plugins.scan import Origin

MAX_VOXELS = 2**30  # 1024 cubed; the largest head CTs have a quarter of it
SPACING_MM = (0.01, 25.0)  # outside this range, the numbers are not millimetres
MIN_UPRIGHT = 0.7  # volume of the cell over the product of its edges; a gantry tilted by 30 degrees has 0.87
_PIECE = 1 << 24  # bytes read at once
_GZIP_MOST = 1032  # maximum compression ratio of deflate


class Readable(Protocol):
    """A file or a decompressed stream."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Volume:
    """Voxels and their positions."""

    values: npt.NDArray[Any]  # (i, j, k), integers or floats
    affine: npt.NDArray[np.float64]  # (4, 4) voxel indices to RAS+ millimetres
    origin: Origin = field(default_factory=Origin)


@dataclass(frozen=True)
class Layout:
    """A header's description of the voxels."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    encoding: str  # raw, gzip, zlib or bzip2
    start: int | None = 0  # first byte of the voxels, after decompression; None: they end the file
    slope: float = 1.0
    intercept: float = 0.0


def slabs(values: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield views (i, j, at most 8) of a volume along k, to limit the memory of computations."""
    for start in range(0, values.shape[2], 8):
        yield values[:, :, start : start + 8]


def extremes(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the least and the greatest value; NaN if there is one."""
    return float(values.min()), float(values.max())


def check_layout(path: Path, layout: Layout, size: int) -> None:
    """Check a header against the file, before anything is allocated.

    Args:
        size: bytes of the file that holds the voxels.

    Raises:
        InputError: if the layout is impossible for a head CT, or the file is too small for it.
    """
    shape, dtype = list(layout.shape), layout.dtype
    if len(shape) != 3:
        raise InputError(
            f"{path}: has shape {shape}, expected a volume of three dimensions; split series and channels "
            "into separate files"
        )
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InputError(
            f"{path}: holds values of type {dtype}, expected integers or floats, not complex numbers, "
            "colours or records; convert it to integers"
        )
    if min(shape) < 1:
        raise InputError(f"{path}: has shape {shape}, expected positive sizes; repair its header")
    if (count := int(np.prod(shape, dtype=object))) > MAX_VOXELS:
        raise InputError(
            f"{path}: its header claims {count} voxels, shape {shape}, expected at most {MAX_VOXELS}; "
            "resample it, or repair the header if that is wrong"
        )
    claimed = count * dtype.itemsize
    most = {
        "raw": size - (layout.start or 0),
        "gzip": size * _GZIP_MOST,
        "zlib": size * _GZIP_MOST,
    }.get(layout.encoding, claimed)
    if claimed > most:
        raise InputError(
            f"{path}: its header claims {claimed} bytes of voxels, the file can hold {max(most, 0)}; it is "
            "cut off, download or export it again"
        )


def read_values(path: Path, layout: Layout, stream: Readable) -> npt.NDArray[Any]:
    """Read (i, j, k) voxels from a stream at their first byte, after `check_layout`.

    Raises:
        InputError: if the stream ends early or continues beyond them, or if a value is not finite.
        OSError, EOFError, zlib.error: from the stream; the caller reports them.
    """
    values = np.empty(int(np.prod(layout.shape)), layout.dtype)
    room = values.view(np.uint8).data
    filled = 0
    while filled < len(room):
        piece = stream.read(min(_PIECE, len(room) - filled))
        if not piece:
            raise InputError(
                f"{path}: holds {filled} bytes of voxels, its header claims {len(room)}; it is cut off, "
                "download or export it again"
            )
        room[filled : filled + len(piece)] = piece
        filled += len(piece)
    # A compressed stream is checked against its checksum when its end is read, not before.
    if stream.read(1):
        raise InputError(
            f"{path}: holds more bytes of voxels than the {len(room)} its header claims; one of both is "
            "damaged, download or export it again"
        )
    if not values.dtype.isnative:
        values = values.byteswap(inplace=True).view(values.dtype.newbyteorder("="))
    volume = values.reshape(layout.shape, order="F")
    if (layout.slope, layout.intercept) != (1.0, 0.0):
        scaled = np.empty(layout.shape, np.float32, order="F")
        for source, target in zip(slabs(volume), slabs(scaled), strict=True):
            target[:] = source * layout.slope + layout.intercept
        volume = scaled
    if volume.dtype.kind == "f" and not all(bool(np.isfinite(slab).all()) for slab in slabs(volume)):
        raise InputError(
            f"{path}: holds NaN or infinite values, expected finite ones; replace them with background"
        )
    return volume


def check_affine(path: Path, affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the (4, 4) affine, if a scanner can produce it.

    Raises:
        InputError: if it is not finite, singular, strongly sheared, or not in millimetres.
    """
    columns = affine[:3, :3]
    if not np.isfinite(affine).all():
        raise InputError(f"{path}: its affine is not finite: {_text(affine)}; repair the header")
    spacing = np.linalg.norm(columns, axis=0)
    if not (spacing > 0).all():
        raise InputError(f"{path}: has spacing {_text(spacing)}, expected more than 0 mm; repair the header")
    upright = float(abs(np.linalg.det(columns / spacing)))
    if upright < 1e-3:
        raise InputError(f"{path}: its affine is singular: {_text(columns)}; repair the header's directions")
    if upright < MIN_UPRIGHT:
        raise InputError(
            f"{path}: its axes are strongly sheared, far beyond any gantry tilt: {_text(columns)}; repair "
            "the header's directions, or resample the volume to upright axes"
        )
    if spacing.min() < SPACING_MM[0] or spacing.max() > SPACING_MM[1]:
        raise InputError(
            f"{path}: has spacing {_text(spacing)}, expected {SPACING_MM[0]} to {SPACING_MM[1]} mm; repair "
            "the header, which may be in another unit"
        )
    return affine


def _text(numbers: npt.NDArray[Any]) -> str:
    return str(np.round(numbers, 4).tolist())
