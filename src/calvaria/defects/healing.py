"""Thins the bone around a hole, as healing does; work in a band of some millimetres around the rim only."""

import numpy as np

from calvaria.defects.defect import Healing
from calvaria.defects.vault import Vault
from calvaria.grid import Grid

THICKEST_MM = 14.0  # bone further away along the ray belongs to something else


def thinned(
    skull: np.ndarray,
    grid: Grid,
    vault: Vault,
    healing: Healing,
    points: tuple[np.ndarray, np.ndarray, np.ndarray],
    distance_mm: np.ndarray,
) -> np.ndarray:
    """(n,) bool: which voxels of the band are gone.

    A voxel is gone if it lies in the outer (or inner) part of the bone's thickness, measured along the ray
    from the vault's centre; that part falls linearly from the rim to the end of the band.

    Args:
        skull: (x, y, z) uint8 or bool, bone where it is not 0.
        points: x, y, z world positions in mm of bone voxels, (n,) float64 each.
        distance_mm: (n,) how far they are from the hole.
    """
    away = [p - c for p, c in zip(points, vault.centre_mm, strict=True)]
    length = np.sqrt(away[0] * away[0] + away[1] * away[1] + away[2] * away[2])
    steps = [a / length for a in away]
    outer, inner = (_bone_along(skull, grid, points, steps, sign) for sign in (1, -1))
    mine, other = (outer, inner) if healing.side == "outer" else (inner, outer)
    share = healing.thinning * (1.0 - distance_mm / healing.width_mm)
    # The voxel itself counts half to either side.
    return np.asarray(mine + 0.5 < share * (mine + other + 1.0))


def _bone_along(
    skull: np.ndarray,
    grid: Grid,
    points: tuple[np.ndarray, np.ndarray, np.ndarray],
    steps: list[np.ndarray],
    sign: int,
) -> np.ndarray:
    """(n,) float64 count of bone voxels met by rays from these points, a voxel's edge at a time."""
    flat = skull.reshape(-1)
    count = np.zeros(points[0].shape)
    place = [p / grid.spacing_mm + n / 2 for p, n in zip(points, grid.shape, strict=True)]
    for number in range(1, int(THICKEST_MM / grid.spacing_mm) + 1):
        index = np.zeros(count.shape, np.int64)
        inside = np.ones(count.shape, bool)
        for axis, n in enumerate(grid.shape):
            at = np.floor(place[axis] + (sign * number) * steps[axis]).astype(np.int64)
            inside &= (at >= 0) & (at < n)
            index = index * n + np.minimum(np.maximum(at, 0), n - 1)
        count += inside & (flat[index] != 0)
    return count
