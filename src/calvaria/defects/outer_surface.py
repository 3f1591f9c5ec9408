"""The outer surface of a skull along rays from the vault's centre."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from calvaria.geometry.grid import Grid
from calvaria.skull.vault import Vault, Vector, unit


class Ray(NamedTuple):
    """Point at which a ray from the vault's centre leaves the skull."""

    direction: Vector  # of unit length
    point_mm: Vector  # on the outer surface
    distance_mm: float  # from the vault's centre


@dataclass(frozen=True)
class OuterSurface:
    """A skull and its vault: the inputs of a draw."""

    skull: np.ndarray  # (x, y, z) bool or uint8, bone where it is not 0
    grid: Grid
    vault: Vault

    def cast(self, x: float, y: float, z: float) -> Ray:
        """Return the outer surface along the ray from the vault's centre along (x, y, z), of any length.

        Where the ray meets no bone near the vault, the vault's ellipsoid is used instead.
        """
        grid, vault = self.grid, self.vault
        direction = unit(x, y, z)
        ratios = [d / s for d, s in zip(direction, vault.semi_axes_mm, strict=True)]
        expected = 1.0 / np.sqrt(sum(ratio * ratio for ratio in ratios))
        step = grid.spacing_mm / 4
        # From outside to inside, starting close to the vault, so that no headband is hit first.
        distances = np.arange(round(1.25 * expected / step), round(0.5 * expected / step), -1) * step
        indices, inside = [], np.ones(distances.shape, bool)
        for axis in range(3):
            voxel = (vault.centre_mm[axis] + distances * direction[axis]) / grid.spacing_mm
            index = np.floor(voxel + grid.shape[axis] / 2).astype(np.int64)
            inside &= (index >= 0) & (index < grid.shape[axis])
            indices.append(np.clip(index, 0, grid.shape[axis] - 1))
        hits = np.flatnonzero(inside & (self.skull[indices[0], indices[1], indices[2]] > 0))
        distance = float(distances[hits[0]]) if hits.size else float(expected)
        cx, cy, cz = (c + distance * d for c, d in zip(vault.centre_mm, direction, strict=True))
        return Ray(direction, (cx, cy, cz), distance)
