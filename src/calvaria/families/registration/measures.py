"""Figures by which a warp is accepted or rejected."""

import numpy as np
import torch

from calvaria.families.registration.fields import Skull, centres, jacobian, look_up
from calvaria.families.registration.gates import Measured
from calvaria.geometry.grid import Grid
from calvaria.geometry.overlap import dice

EIGHTFOLD = 8.0


def measure(
    warped: np.ndarray, target: np.ndarray | None, skull: Skull, field: torch.Tensor, grid: Grid
) -> Measured:
    """Return the figures of ``warped``, which is ``skull`` warped by ``field``.

    Args:
        warped: (x, y, z) uint8.
        target: (x, y, z), non-zero where there is bone; None if there is none: the similarity is then 1.
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
