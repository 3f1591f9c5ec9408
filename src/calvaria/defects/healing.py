"""Thin the bone around a hole, as healing does, in a band of some millimetres around the rim."""

from collections.abc import Sequence

import numpy as np

from calvaria.defects.defect import Healing
from calvaria.geometry.grid import Grid
from calvaria.skull.vault import Vault

THICKEST_MM = 14.0  # bone further away along the ray belongs to another structure


def thinned(
    skull: np.ndarray,
    grid: Grid,
    vault: Vault,
    healing: Healing,
    points: tuple[np.ndarray, np.ndarray, np.ndarray],
    distance_mm: np.ndarray,
) -> np.ndarray:
    """Return (n,) bool: whether healing has removed each voxel of the band.

    A voxel is removed if it lies in the outer (or inner) part of the bone's thickness, measured along the
    ray from the vault's centre; that part falls linearly from the rim to the end of the band.

    Args:
        skull: (x, y, z) uint8 or bool, bone where it is not 0.
        points: x, y, z world positions in mm of bone voxels, (n,) float64 each.
        distance_mm: (n,) their distances from the hole.
    """
    away = [p - c for p, c in zip(points, vault.centre_mm, strict=True)]
    length = np.sqrt(away[0] * away[0] + away[1] * away[1] + away[2] * away[2])
    steps = [a / length for a in away]
    outwards = 1 if healing.side == "outer" else -1
    share = healing.thinning * (1.0 - distance_mm / healing.width_mm)
    # The voxel itself counts half towards each side: it is removed if
    #     thickness + 0.5 < share * (thickness + other + 1)
    # which requires little bone on this side and enough on the other; beyond that, counting can stop.
    thickest = int(THICKEST_MM / grid.spacing_mm)
    enough = (share * (thickest + 1.0) - 0.5) / np.maximum(1.0 - share, 1e-9)
    thickness = _bone_along(skull, grid, points, steps, outwards, enough)
    gone = thickness + 0.5 < share * (thickness + thickest + 1.0)
    at = np.flatnonzero(gone)
    thickness, share = thickness[at], share[at]
    enough = (thickness + 0.5) / share - thickness - 1.0
    other = _bone_along(skull, grid, [p[at] for p in points], [s[at] for s in steps], -outwards, enough)
    gone[at] = thickness + 0.5 < share * (thickness + other + 1.0)
    return np.asarray(gone)


def _bone_along(
    skull: np.ndarray,
    grid: Grid,
    points: Sequence[np.ndarray],
    steps: Sequence[np.ndarray],
    sign: int,
    enough: np.ndarray,
) -> np.ndarray:
    """Return (n,) float64 counts of bone voxels along rays from these points, in steps of one voxel edge.

    A ray may end once its count is at least ``enough`` + 1.
    """
    flat = skull.reshape(-1)
    counts = np.zeros(points[0].shape)
    going = np.flatnonzero(enough >= 0)
    count, enough, points = counts[going], enough[going], [p[going] for p in points]
    place = [p / grid.spacing_mm + n / 2 for p, n in zip(points, grid.shape, strict=True)]
    steps = [sign * step[going] for step in steps]
    longest = int(THICKEST_MM / grid.spacing_mm)
    ends = [at + longest * step for at, step in zip(place, steps, strict=True)]
    # A ray that starts and ends within the volume lies entirely within it.
    within = all(((end >= 0) & (end < n)).all() for end, n in zip(ends, grid.shape, strict=True))
    for number in range(1, longest + 1):
        x, y, z = (number * step for step in steps)
        x += place[0]
        y += place[1]
        z += place[2]
        if within:
            i, j, k = x.astype(np.int32), y.astype(np.int32), z.astype(np.int32)
            index = (i * grid.shape[1] + j) * grid.shape[2] + k
            count += flat.take(index.astype(np.int64)) != 0
        else:
            count += _values(skull, x, y, z) != 0
        if number % 3 == 0:
            counts[going] = count
            left = np.flatnonzero(count < enough + 1.0)
            going, count, enough = going[left], count[left], enough[left]
            place, steps = [p[left] for p in place], [s[left] for s in steps]
    counts[going] = count
    return counts


def _values(volume: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return (n,) values of the voxels at positions in units of voxels; 0 outside."""
    places = [np.floor(p).astype(np.int64) for p in (x, y, z)]
    inside = np.logical_and.reduce([(p >= 0) & (p < n) for p, n in zip(places, volume.shape, strict=True)])
    values = np.zeros(x.shape, volume.dtype)
    values[inside] = volume[tuple(p[inside] for p in places)]
    return values
