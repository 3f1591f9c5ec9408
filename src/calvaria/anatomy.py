"""Measures of a skull: size, volume, and the vault seen from its centre.

The vault map casts rays from a point inside the head through the upper part of the skull. Where a ray
meets no bone, the vault has a hole.
"""

from dataclasses import dataclass

import numpy as np

from calvaria.grid import Grid

RAYS = 2000
LOWEST_ELEVATION_DEG = 20.0
CENTRE_DEPTH = 0.42  # depth of the vault's centre below its top, as a fraction of the skull's length
VAULT_DEPTH_MM = 70.0


@dataclass(frozen=True)
class VaultMap:
    """The vault along rays from its centre."""

    centre_mm: np.ndarray  # (3,) world position
    directions: np.ndarray  # (rays, 3) unit vectors
    outer_mm: np.ndarray  # (rays,) distance to the outer surface; 0 where there is no bone
    thickness_mm: np.ndarray  # (rays,) length of the ray inside bone; 0 where there is a hole

    @property
    def hole_area_mm2(self) -> float:
        """Area of the vault's holes, on a sphere of the vault's median radius."""
        closed = self.outer_mm > 0
        if not closed.any():
            return float("inf")
        solid_angle = 2 * np.pi * (1 - np.sin(np.deg2rad(LOWEST_ELEVATION_DEG)))
        radius = np.median(self.outer_mm[closed])
        return float(np.mean(~closed) * solid_angle * radius**2)


@dataclass(frozen=True)
class Measures:
    """What is compared between skulls."""

    volume_ml: float
    width_mm: float
    length_mm: float
    height_mm: float
    thickness_mm: float  # mean along the vault's rays
    hole_area_mm2: float


def extent(skull: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest world position (3,) of the skull's vault, and of the whole skull in z.

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
        found = np.flatnonzero(mask.any(axis=others))
        low[axis] = grid.centres(axis)[found[0]] - half
        high[axis] = grid.centres(axis)[found[-1]] + half
    return low, high


def vault_map(skull: np.ndarray, grid: Grid) -> VaultMap:
    """Casts ``RAYS`` rays from the vault's centre through a complete skull.

    Args:
        skull: (x, y, z) non-zero where there is bone.
    """
    low, high = extent(skull, grid)
    centre = (low + high) / 2
    centre[2] = high[2] - CENTRE_DEPTH * (high[1] - low[1])
    directions = upper_directions(RAYS)
    step = grid.spacing_mm / 3
    distances = np.arange(step, np.linalg.norm(grid.extent_mm) / 2 + step, step)
    points = centre + distances[None, :, None] * directions[:, None, :]
    index = np.floor((points + np.array(grid.extent_mm) / 2) / grid.spacing_mm).astype(int)
    inside = ((index >= 0) & (index < np.array(grid.shape))).all(axis=2)
    index[~inside] = 0
    bone = (skull[index[..., 0], index[..., 1], index[..., 2]] > 0) & inside
    outer = (bone * distances).max(axis=1)
    return VaultMap(centre, directions, outer, np.count_nonzero(bone, axis=1) * step)


def upper_directions(count: int) -> np.ndarray:
    """(count, 3) unit vectors spread evenly over the directions above the lowest elevation."""
    lowest = np.sin(np.deg2rad(LOWEST_ELEVATION_DEG))
    z = lowest + (1 - lowest) * (np.arange(count) + 0.5) / count
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


def measure(skull: np.ndarray, grid: Grid) -> Measures:
    """Measures of a complete skull, (x, y, z) non-zero where there is bone; all zero if it is empty."""
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
