"""Fitting of an implant: a gap to the bone, and an insertion path from outside without collision."""

from dataclasses import dataclass

import numpy as np

from calvaria.geometry.components import largest_component
from calvaria.reconstruction.implant.space import Space

CONE_DEG = 40.0  # around the outward direction; directions of insertion are searched within it
DIRECTIONS = 61
PATH_MM = 40.0  # length of the insertion path
STEP_MM = 0.75
COARSE = 3  # stride of the samples with which directions are compared
SMOOTHING_MM = 0.8  # sd, to remove voxel steps from the surface


@dataclass(frozen=True)
class Fitted:
    """An implant, as a level set of its space."""

    level_mm: np.ndarray  # (i, j, k) float32, negative inside
    direction: np.ndarray  # (3,) unit vector of removal, in the scan's axes
    gap_mm: float
    lost_ml: float  # volume removed for the insertion path, beyond the gap


def fit_implant(space: Space, gap_mm: float) -> Fitted:
    """Return the largest part of the predicted implant that keeps the gap and can be inserted.

    A point is kept if its whole path along the direction is at least ``gap_mm`` away from bone. Of all
    directions in the cone, the one that loses the least volume is used.
    """
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(space.implant_mm, SMOOTHING_MM / space.spacing_mm)
    kept = np.maximum(smooth, gap_mm - space.bone_mm)
    coarse = (slice(None, None, COARSE),) * 3
    inside = np.argwhere(kept[coarse] < 0) * (COARSE * space.spacing_mm)
    candidates = cone(space.outward)
    direction = freest(space, inside, candidates, gap_mm)
    points = np.argwhere(kept < space.spacing_mm)
    clear_mm = clearance(space, points * space.spacing_mm, direction)
    level = kept.copy()
    level[tuple(points.T)] = np.maximum(kept[tuple(points.T)], gap_mm - clear_mm)
    level = _largest(level)
    lost = (np.count_nonzero(kept < 0) - np.count_nonzero(level < 0)) * space.spacing_mm**3 / 1000
    return Fitted(level.astype(np.float32), direction, gap_mm, lost)


def clearance(space: Space, positions: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return the minimum distance to bone in mm, (n,), of (n, 3) positions moved along a direction."""
    least = space.at(space.bone_mm, positions)
    on_way = np.arange(len(positions))
    for distance in np.arange(STEP_MM, PATH_MM, STEP_MM):
        moved = positions[on_way] + distance * direction
        inside = _is_inside(space, moved)
        if not inside.any():
            break
        inside &= space.may_be_nearer(moved, least[on_way])
        here = on_way[inside]
        least[here] = np.minimum(least[here], space.at(space.bone_mm, moved[inside]))
        on_way = on_way[_may_enter(space, moved, direction)]
    return least


def freest(space: Space, positions: np.ndarray, directions: np.ndarray, gap_mm: float) -> np.ndarray:
    """Return the direction, (3,), along which the fewest positions (n, 3) come nearer to bone than the gap.

    Of equally good directions the first is returned. Counting ends once a direction is known to be worse.
    """
    free = positions[space.at(space.bone_mm, positions) >= gap_mm]
    best, fewest = directions[0], len(positions) + 1
    for direction in directions:
        blocked = _blocked(space, free, direction, gap_mm, fewest - (len(positions) - len(free)))
        if blocked + len(positions) - len(free) < fewest:
            best, fewest = direction, blocked + len(positions) - len(free)
    return best


def _blocked(space: Space, positions: np.ndarray, direction: np.ndarray, gap_mm: float, enough: int) -> int:
    """Count the positions (n, 3) nearer to bone than the gap; stop counting at ``enough``."""
    blocked = 0
    for distance in np.arange(STEP_MM, PATH_MM, STEP_MM):
        moved = positions + distance * direction
        ahead = _is_inside(space, moved)  # positions that leave the space do not re-enter it
        positions, moved = positions[ahead], moved[ahead]
        hit = space.may_be_nearer(moved, gap_mm)
        hit[hit] = space.at(space.bone_mm, moved[hit]) < gap_mm
        blocked += int(np.count_nonzero(hit))
        positions = positions[~hit]
        if blocked >= enough or not len(positions):
            break
    return blocked


def _is_inside(space: Space, positions: np.ndarray) -> np.ndarray:
    """Return whether positions (n, 3) are in the space, (n,) bool."""
    size = np.array(space.bone_mm.shape) * space.spacing_mm
    x, y, z = ((positions >= 0) & (positions <= size)).T
    return np.asarray(x & y & z)


def _may_enter(space: Space, positions: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return whether positions (n, 3) can be in the space here or further along a direction, (n,) bool."""
    size = np.array(space.bone_mm.shape) * space.spacing_mm
    x, y, z = (((direction < 0) | (positions <= size)) & ((direction > 0) | (positions >= 0))).T
    return np.asarray(x & y & z)


def cone(axis: np.ndarray) -> np.ndarray:
    """Return (DIRECTIONS, 3) unit vectors, evenly over the cone around a (3,) axis, the axis first."""
    number = np.arange(DIRECTIONS)
    along = 1 - (1 - np.cos(np.deg2rad(CONE_DEG))) * number / (DIRECTIONS - 1)
    across = np.sqrt(1 - along**2)
    angle = np.pi * (3 - np.sqrt(5)) * number
    one = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    one /= np.linalg.norm(one)
    two = np.cross(axis, one)
    return along[:, None] * axis + across[:, None] * (
        np.cos(angle)[:, None] * one + np.sin(angle)[:, None] * two
    )


def _largest(level: np.ndarray) -> np.ndarray:
    """Return the level set of the largest 6-connected component with its cavities filled."""
    from scipy.ndimage import binary_fill_holes

    inside = level < 0
    if not inside.any():
        return level
    component = largest_component(inside, connectivity=6)
    filled = binary_fill_holes(component)
    return np.where(filled & ~inside, -np.abs(level), np.where(inside & ~filled, np.abs(level) + 1e-3, level))
