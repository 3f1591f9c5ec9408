"""How DICOM slices lie, from their own positions: whether they make a volume, and its affine."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calvaria.errors import InputError
from calvaria.sources.voxels import check_affine

SCOUT_SLICES = 3  # series of so few are localizers or pages of text, if there is a longer one
_UNIFORM = 0.01  # part of the slice distance by which a slice may be off its place, or
_UNIFORM_MM = 0.06  # this, whichever is more: some scanners round positions to 0.1 mm
_DOUBLE = 0.05  # part of the slice distance below which two slices are in the same place


@dataclass(frozen=True)
class Slice:
    """Where one slice lies."""

    path: Path
    series: str
    modality: str
    position: npt.NDArray[np.float64]  # (3,) mm LPS of the first pixel
    directions: npt.NDArray[np.float64]  # (2, 3) of a row and of a column
    spacing: tuple[float, float]  # mm along a row, along a column
    size: tuple[int, int]  # pixels in a row, in a column

    @property
    def height(self) -> float:
        """Position along the slice's normal in mm."""
        return float(np.cross(*self.directions) @ self.position)


def stack_affine(folder: Path, slices: list[Slice]) -> npt.NDArray[np.float64]:
    """(4, 4) voxel indices to RAS+ mm, of slices sorted by height."""
    first = slices[0]
    if len(slices) <= SCOUT_SLICES:
        raise InputError(
            f"{folder}: holds {len(slices)} slices, wanted a head CT of many; copy the whole series"
        )
    for found in slices[1:]:
        for what, own, other in (
            ("size", found.size, first.size),
            ("pixel spacing", found.spacing, first.spacing),
            ("orientation", found.directions, first.directions),
        ):
            if not np.allclose(own, other, rtol=1e-3, atol=1e-3):
                own_text, other_text = (np.round(part, 4).tolist() for part in (own, other))
                raise InputError(
                    f"{found.path}: has {what} {own_text} where {first.path.name} has {other_text}; remove "
                    "what is not of the same series, or export it again"
                )
    positions = np.array([found.position for found in slices])
    gaps = np.diff([found.height for found in slices])
    usual = float(np.median(gaps))
    tight = int(gaps.argmin())
    if gaps[tight] <= _DOUBLE * usual or usual <= 0:
        below, above = slices[tight].path, slices[tight + 1].path.name
        raise InputError(f"{below}: lies in the same place as {above}; remove one of the two")
    # Places are compared with an even row of slices, not gaps with each other: rounding shows twice in a gap.
    number = np.arange(len(slices)) - (len(slices) - 1) / 2
    step = np.round((number[:, None] * positions).sum(axis=0) / (number**2).sum(), 9)
    middle = np.round(positions.mean(axis=0), 9)
    off = np.linalg.norm(positions - middle - number[:, None] * step, axis=1)
    if off.max() > max(_UNIFORM * usual, _UNIFORM_MM):
        odd = int(np.abs(gaps - usual).argmax())
        raise InputError(
            f"{slices[odd].path}: the next slice, {slices[odd + 1].path.name}, is {gaps[odd]:.2f} mm away, "
            f"{usual:.2f} mm is usual, and slices lie up to {off.max():.2f} mm beside an even row: some are "
            "missing, or several reconstructions are mixed; copy the whole series again"
        )
    affine = np.eye(4)
    affine[:3, 0] = first.directions[0] * first.spacing[0]
    affine[:3, 1] = first.directions[1] * first.spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = middle + number[0] * step
    affine[:2] *= -1  # DICOM's axes grow to the left and to the back
    return check_affine(folder, affine)
