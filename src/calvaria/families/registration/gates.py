"""What is measured of every warp, and what a warp has to pass before anyone sees its skull."""

from dataclasses import dataclass

import numpy as np
import torch

from calvaria.config import Gates
from calvaria.families.registration.fields import Skull, centres, jacobian, look_up
from calvaria.geometry.grid import Grid

EIGHTFOLD = 8.0


@dataclass(frozen=True)
class Measured:
    """Figures of a warp of one skull to another. Whether its vault is closed is seen by the screen."""

    similarity: float
    """Dice of the warped skull and the target."""
    folded: float
    """Fraction of the field's voxels whose Jacobian determinant is not positive."""
    least_jacobian: float
    most_jacobian: float
    distorted: float
    """Share of the warped bone that has grown or shrunk more than `EIGHTFOLD` in volume."""
    volume_ratio: float
    """Bone volume of the warped skull over that of the moving one."""


def measure(
    warped: np.ndarray, target: np.ndarray | None, skull: Skull, field: torch.Tensor, grid: Grid
) -> Measured:
    """The figures of ``warped``, ``skull`` pulled through ``field``; a shape of no one has similarity 1.

    Args:
        warped: (x, y, z) uint8.
        target: (x, y, z), non-zero where there is bone; None if the field leads to nobody.
        field: (3, x, y, z) on ``grid``.
    """
    determinants = jacobian(field, grid.spacing_mm)
    folded = float((determinants <= 0).sum() / determinants.numel())
    bone = look_up(torch.from_numpy(warped[None].astype(np.float32)), skull.grid, centres(grid))[0]
    bone = bone[1:-1, 1:-1, 1:-1]
    far = (determinants > EIGHTFOLD) | (determinants < 1 / EIGHTFOLD)
    distorted = float((bone * far).sum() / bone.sum().clamp(min=1e-6))
    volume_ml = np.count_nonzero(warped) * skull.grid.spacing_mm**3 / 1000
    return Measured(
        1.0 if target is None else round(dice(warped, target), 5),
        round(folded, 8),
        round(float(determinants.min()), 4),
        round(float(determinants.max()), 4),
        round(distorted, 6),
        round(volume_ml / skull.volume_ml, 4) if skull.volume_ml else 0.0,
    )


def verdict(measured: Measured, gates: Gates) -> str | None:
    """Why a warp is rejected, without numbers so that reasons can be counted; None if it is not."""
    if not np.isfinite(measured.least_jacobian) or measured.folded > gates.folded:
        return "warp folded"
    if measured.distorted > gates.distorted:
        return "warp distorted"
    if measured.similarity < gates.similarity:
        return "warp not similar"
    low, high = gates.volume_ratio
    if not low <= measured.volume_ratio <= high:
        return f"warp volume ratio too {'low' if measured.volume_ratio < low else 'high'}"
    return None


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Dice of two masks; 1 if both are empty."""
    both = np.count_nonzero(one) + np.count_nonzero(other)
    return 2 * np.count_nonzero((one > 0) & (other > 0)) / both if both else 1.0
