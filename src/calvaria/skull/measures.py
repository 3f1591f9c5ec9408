"""Measures of a skull: extent, bone volume, and thickness and holes of its vault.

The vault is measured along rays from a point inside the head, in all directions above a plane that slopes
down from the brow to the back of the head. A ray that meets no bone marks a hole.
"""

from dataclasses import dataclass

import numpy as np

from calvaria.geometry.grid import Grid
from calvaria.skull.vault import FLOOR_BACK, FLOOR_FRONT, INNER

RAYS = 4000
CENTRE_DEPTH = 0.42  # depth of the vault's centre below its top, as a fraction of the skull's length
VAULT_DEPTH_MM = 70.0
# Height of the rays' floor above that of the defects, relative to the lateral semi-axis. Above it at least
# 96 of 100 real skulls are closed in every direction; below it, orbits and ears begin.
RAISED = 0.1


@dataclass(frozen=True)
class VaultMap:
    """The vault along rays from its centre."""

    centre_mm: np.ndarray  # (3,) world position
    directions: np.ndarray  # (rays, 3) unit vectors
    outer_mm: np.ndarray  # (rays,) distance to the outer surface; 0 where there is no bone
    thickness_mm: np.ndarray  # (rays,) length of the ray inside bone; 0 where there is a hole

    @property
    def hole_area_mm2(self) -> float:
        """Return the area of the vault's holes, on a sphere of the vault's median radius."""
        closed = self.outer_mm > 0
        if not closed.any():
            return float("inf")
        solid_angle = 2 * np.pi * (1 - vault_cap()[1])
        radius = np.median(self.outer_mm[closed])
        return float(np.mean(~closed) * solid_angle * radius**2)


@dataclass(frozen=True)
class Measures:
    """Measures by which skulls are compared."""

    volume_ml: float
    width_mm: float
    length_mm: float
    height_mm: float
    thickness_mm: float  # mean along the vault's rays
    hole_area_mm2: float


def extent(skull: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest world position, (3,) each: x and y of the vault, z of the whole skull.

    Raises:
        ValueError: if the skull is empty.
    """
    top = np.flatnonzero(skull.any(axis=(0, 1)))
    if not len(top):
        raise ValueError("an empty skull has no extent")
    upper = skull.copy()
    upper[:, :, : max(0, top[-1] - round(VAULT_DEPTH_MM / grid.spacing_mm))] = 0
    half = grid.spacing_mm / 2
    low, high = np.zeros(3), np.zeros(3)
    for axis, mask in ((0, upper), (1, upper), (2, skull)):
        others = tuple(other for other in range(3) if other != axis)
        indices = np.flatnonzero(mask.any(axis=others))
        low[axis] = grid.centres(axis)[indices[0]] - half
        high[axis] = grid.centres(axis)[indices[-1]] + half
    return low, high


def vault_map(skull: np.ndarray, grid: Grid) -> VaultMap:
    """Cast ``RAYS`` rays from the vault's centre through a complete skull.

    Args:
        skull: (x, y, z) non-zero where there is bone.
    """
    low, high = extent(skull, grid)
    centre = (low + high) / 2
    centre[2] = high[2] - CENTRE_DEPTH * (high[1] - low[1])
    directions = vault_directions(RAYS)
    step = grid.spacing_mm / 3
    distances = np.arange(step, np.linalg.norm(grid.extent_mm) / 2 + step, step)
    # Bone deep inside is the base of the skull, which closes nothing.
    semi_axes = np.append((high - low)[:2] / 2, high[2] - centre[2])
    inside = distances >= (INNER / np.linalg.norm(directions / semi_axes, axis=1))[:, None]
    place = np.zeros(inside.shape)  # of the voxel in the flattened skull; exact, as an integer below 2**53
    for axis, count in enumerate(grid.shape):
        index = directions[:, axis, None] * distances
        index += centre[axis]
        index += grid.extent_mm[axis] / 2
        index /= grid.spacing_mm
        np.floor(index, out=index)
        inside &= (index >= 0) & (index < count)
        place *= count
        place += index
    place[~inside] = 0
    bone = (np.ravel(skull)[place.astype(np.intp)] > 0) & inside
    outer = (bone * distances).max(axis=1)
    return VaultMap(centre, directions, outer, np.count_nonzero(bone, axis=1) * step)


def vault_directions(count: int) -> np.ndarray:
    """Return (count, 3) unit vectors, evenly distributed over the directions of the vault."""
    tilt, lowest = vault_cap()
    z = lowest + (1 - lowest) * (np.arange(count) + 0.5) / count
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    radius = np.sqrt(1 - z**2)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    return np.stack([x, y * np.cos(tilt) - z * np.sin(tilt), y * np.sin(tilt) + z * np.cos(tilt)], axis=1)


def vault_cap() -> tuple[float, float]:
    """Return the cap of the vault's directions: the backward tilt of its axis from the vertex, in radians,
    and the least cosine of the angle to that axis.
    """
    slope = (FLOOR_BACK - FLOOR_FRONT) / 2
    depth = (FLOOR_FRONT + FLOOR_BACK) / 2 - RAISED
    return float(np.arctan(slope)), float(-depth / np.hypot(1, slope))


def measure(skull: np.ndarray, grid: Grid) -> Measures:
    """Return the measures of a complete skull, (x, y, z) non-zero where there is bone.

    For an empty skull the hole area is infinite and all other measures are 0.
    """
    if not skull.any():
        return Measures(0, 0, 0, 0, 0, float("inf"))
    low, high = extent(skull, grid)
    vault = vault_map(skull, grid)
    width, length, height = (float(value) for value in high - low)
    closed = vault.thickness_mm > 0
    return Measures(
        volume_ml=float(np.count_nonzero(skull) * grid.spacing_mm**3 / 1000),
        width_mm=width,
        length_mm=length,
        height_mm=height,
        thickness_mm=float(vault.thickness_mm[closed].mean()) if closed.any() else 0.0,
        hole_area_mm2=vault.hole_area_mm2,
    )
