"""Geometry of slices: check that their positions form a volume, its affine, and positions for resampling."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calvaria.errors import InputError
from calvaria.plugins.scan import LeftOut, describe_left_out
from calvaria.sources.dicom.headers import Plane
from calvaria.sources.voxels import check_affine

_UNIFORM = 0.01  # maximum deviation of a slice from its place, relative to the slice distance, or
_UNIFORM_MM = 0.06  # in mm, whichever is larger: some scanners round positions to 0.1 mm
_DOUBLE = 0.05  # fraction of the slice distance below which two slices are in the same place
_RUN = 3  # gaps of equal width that make a run of regular slices
_MISSING = 1.5  # times the usual distance, above which a slice is missing rather than misplaced


@dataclass(frozen=True)
class Stack:
    """Geometry of the slices of a volume."""

    affine: npt.NDArray[np.float64]  # (4, 4) voxel indices (i, j, k) to RAS+ mm
    count: int  # slices of the volume
    places: npt.NDArray[np.float64] | None = (
        None  # (count,) indices of original slices, fractional between them
    )
    notes: tuple[str, ...] = ()


def stack(folder: Path, planes: tuple[Plane, ...], left_out: Sequence[LeftOut] = ()) -> Stack:
    """Fit an even row to slices sorted by height, or choose the row to which they are resampled.

    Slices of several distances, each in a regular run, are resampled to the smallest one.

    Args:
        left_out: other slices, to be named in errors.

    Raises:
        InputError: if slices are missing, uneven, or in the same place.
    """
    positions = np.array([plane.position for plane in planes])
    heights = np.array([plane.height for plane in planes])
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    apart = gaps > _DOUBLE * usual
    if usual <= 0 or not apart.all():
        below = int(np.argmin(gaps))
        more = f" (and {np.count_nonzero(~apart) - 1} more pairs)" if np.count_nonzero(~apart) > 1 else ""
        raise InputError(
            f"{planes[below].path}: lies in the same place as {planes[below + 1].path.name}{more}; "
            "remove one of the two"
        )
    # Positions are compared with an even row, not gaps with each other: a gap contains two rounding errors.
    number = np.arange(len(planes)) - (len(planes) - 1) / 2
    step, off = _row(positions, number)
    if off <= max(_UNIFORM * usual, _UNIFORM_MM):
        return Stack(_affine(folder, planes[0], positions.mean(axis=0) + number[0] * step, step), len(planes))
    distances = _distances(planes, gaps, usual, left_out)
    finest = min(distances)
    step, off = _row(positions, heights - np.mean(heights))  # of 1 mm along the normal
    if off > max(_UNIFORM * usual, _UNIFORM_MM):
        raise InputError(
            f"{folder}: slices lie up to {off:.2f} mm beside a straight line; export the series again "
            "without reformatting"
        )
    targets = np.arange(int((heights[-1] - heights[0]) / finest + 1e-3) + 1) * finest + heights[0]
    places = np.interp(targets, heights, np.arange(len(planes)))
    first = positions.mean(axis=0) + (heights[0] - heights.mean()) * step
    spacings = " and ".join(dict.fromkeys(f"{distance:.2g}" for distance in distances))
    note = f"slices of {spacings} mm in one series were resampled to {finest:.2g} mm"
    return Stack(_affine(folder, planes[0], first, finest * step), len(targets), places, (note,))


def _row(
    positions: npt.NDArray[np.float64], number: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float64], float]:
    """Return the (3,) step of the even row nearest to (n, 3) positions, and their maximum distance from it.

    Args:
        number: (n,) place of each position in the row, 0 in the middle.
    """
    step = np.round((number[:, None] * positions).sum(axis=0) / (number**2).sum(), 9)
    off = np.linalg.norm(positions - positions.mean(axis=0) - number[:, None] * step, axis=1)
    return step, float(off.max())


def _distances(
    planes: tuple[Plane, ...], gaps: npt.NDArray[np.float64], usual: float, left_out: Sequence[LeftOut]
) -> list[float]:
    """Return the slice distances in mm of regular runs, separated by gaps of at most their width.

    Raises:
        InputError: if the gaps do not form such runs.
    """
    tolerance = 2 * np.maximum(_UNIFORM * gaps, _UNIFORM_MM)
    starts = [0]  # of stretches of equal gaps
    for n in range(1, len(gaps)):
        if abs(gaps[n] - gaps[starts[-1] : n].mean()) > tolerance[n]:
            starts.append(n)
    stretches = [gaps[one:end] for one, end in pairwise([*starts, len(gaps)])]
    regular = [len(stretch) >= _RUN for stretch in stretches]

    def joins(n: int) -> bool:
        """Return whether a stretch is one gap between two regular runs, and nothing is missing there."""
        if len(stretches[n]) > 1 or not 0 < n < len(stretches) - 1 or not (regular[n - 1] and regular[n + 1]):
            return False
        widest = max(stretches[n - 1].mean(), stretches[n + 1].mean())
        return bool(stretches[n][0] <= widest + tolerance[starts[n]])

    odd = [start for n, start in enumerate(starts) if not regular[n] and not joins(n)]
    if not odd:
        return [float(stretch.mean()) for stretch, even in zip(stretches, regular, strict=True) if even]
    place = max(odd, key=lambda start: abs(gaps[start] - usual))
    below, above = planes[place].path, planes[place + 1].path.name
    beside = f" ({describe_left_out(left_out)})" if left_out else ""
    apart = f"{gaps[place]:.2f} mm apart where {usual:.2f} mm is usual"
    if gaps[place] > _MISSING * usual:
        raise InputError(
            f"{below}: a slice seems to be missing between {below.name} and {above}, {apart}{beside}; get "
            "the whole series"
        )
    raise InputError(
        f"{below}: slices lie unevenly, {below.name} and {above} {apart}{beside}; keep one "
        "reconstruction, or export the series again"
    )


def _affine(
    folder: Path, plane: Plane, first: npt.NDArray[np.float64], step: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, 0] = plane.directions[0] * plane.spacing[0]
    affine[:3, 1] = plane.directions[1] * plane.spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = np.round(first, 9)
    affine[:2] *= -1  # DICOM's axes point to the left and to the back
    return check_affine(folder, affine)
