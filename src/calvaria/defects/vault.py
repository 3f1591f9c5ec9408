"""Where the vault of a skull is: its centre, its size, its outer surface, and what belongs to it.

Everything is measured from two silhouettes of the mask, so a speck of bone or a piece of a head-band
moves nothing, and a field of view that ends anywhere below the ears gives the same vault.
"""

from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from calvaria.errors import InputError
from calvaria.grid import Grid

Vector = tuple[float, float, float]

SLAB_MM = 80.0  # the top of the head, in which width and length are read
LEAST_RUN_MM = 20.0  # rows of a silhouette with less bone than this are specks or residue
FLOOR_FRONT, FLOOR_BACK = 0.15, 0.6  # depth of the floor below the centre, over the lateral semi-axis
INNER = 0.6  # bone deeper than this fraction of the vault's ellipsoid is base, falx or calcification


class Frozen(BaseModel):
    """A value that can be stored as JSON and rebuilt exactly."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Vault(Frozen):
    """The ellipsoid that the vault lies on: the part of the skull in which a defect may be.

    The upper half of the ellipsoid follows the outer surface. A voxel belongs to the vault if it lies
    above a floor plane, which falls from just above the orbits to the level of the inion, and
    outside a concentric ellipsoid of ``INNER`` times the size, which keeps out skull base and falx.
    """

    centre_mm: Vector
    """World position (x, y, z): on the midline, as far below the vertex as the vault is half as wide."""
    semi_axes_mm: Vector
    """Half the width (x), half the length (y), height of the vertex above the centre (z)."""

    def contains(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(n,) bool: which of the world positions in mm, (n,) float64 each, are on the vault."""
        (cx, cy, cz), (a, b, c) = self.centre_mm, self.semi_axes_mm
        u, v, w = (x - cx) / a, (y - cy) / b, (z - cz) / a
        middle, slope = (FLOOR_FRONT + FLOOR_BACK) / 2, (FLOOR_BACK - FLOOR_FRONT) / 2
        above = w + middle >= v * slope
        h = w * (a / c)
        return above & (u * u + v * v + h * h >= INNER * INNER)


class Ray(NamedTuple):
    """Where a ray from the vault's centre leaves the skull."""

    direction: Vector  # of unit length
    point_mm: Vector  # on the outer surface


def rounded(*values: float) -> Vector:
    """Three values to 1e-4, so that rounding noise of other machines cannot reach a stored parameter."""
    x, y, z = (round(float(value), 4) + 0.0 for value in values)
    return x, y, z


def unit(x: float, y: float, z: float) -> Vector:
    """A vector of length 1 along (x, y, z)."""
    length = float(np.sqrt(x * x + y * y + z * z))
    return x / length, y / length, z / length


def find_vault(skull: np.ndarray, grid: Grid) -> Vault:
    """The vault of a complete skull.

    Args:
        skull: (x, y, z) bool or uint8, bone where it is not 0.

    Raises:
        InputError: if there is no head-sized piece of bone.
    """
    bone = skull.view(np.uint8) if skull.dtype == bool else skull
    side = np.bitwise_or.reduce(bone, axis=0) > 0  # (y, z), seen from the side
    front = np.bitwise_or.reduce(bone, axis=1) > 0  # (x, z), seen from the front
    least = LEAST_RUN_MM / grid.spacing_mm
    heights = np.flatnonzero((side.sum(axis=0) >= least) & (front.sum(axis=0) >= least))
    if heights.size:
        top = int(heights[-1])
        slab = slice(max(0, top + 1 - round(SLAB_MM / grid.spacing_mm)), top + 1)
        across = np.flatnonzero(front[:, slab].sum(axis=1) >= least)
        along = np.flatnonzero(side[:, slab].sum(axis=1) >= least)
        if across.size and along.size:
            xs, ys = grid.centres(0)[across[[0, -1]]], grid.centres(1)[along[[0, -1]]]
            a = float(xs[1] - xs[0] + grid.spacing_mm) / 2
            b = float(ys[1] - ys[0] + grid.spacing_mm) / 2
            z = float(grid.centres(2)[top]) + grid.spacing_mm / 2
            centre = rounded((xs[0] + xs[1]) / 2, (ys[0] + ys[1]) / 2, z - a)
            return Vault(centre_mm=centre, semi_axes_mm=rounded(a, b, a))
    raise InputError(
        f"no vault in this skull of {int(np.count_nonzero(bone))} bone voxels at {grid.spacing_mm} mm: "
        f"a closed vault at the top of the volume (+z) is needed; check orientation and threshold"
    )


def cast(skull: np.ndarray, grid: Grid, vault: Vault, x: float, y: float, z: float) -> Ray:
    """The outer surface along the ray from the vault's centre in direction (x, y, z), of any length.

    Where the ray meets no bone near the vault, the ellipsoid stands in for the surface.
    """
    direction = unit(x, y, z)
    ratios = [d / s for d, s in zip(direction, vault.semi_axes_mm, strict=True)]
    expected = 1.0 / np.sqrt(sum(ratio * ratio for ratio in ratios))
    step = grid.spacing_mm / 4
    # From outside to inside, starting close to the vault, where no head-band can be met first.
    distances = np.arange(round(1.25 * expected / step), round(0.5 * expected / step), -1) * step
    indices, inside = [], np.ones(distances.shape, bool)
    for axis in range(3):
        voxel = (vault.centre_mm[axis] + distances * direction[axis]) / grid.spacing_mm
        index = np.floor(voxel + grid.shape[axis] / 2).astype(np.int64)
        inside &= (index >= 0) & (index < grid.shape[axis])
        indices.append(np.clip(index, 0, grid.shape[axis] - 1))
    hits = np.flatnonzero(inside & (skull[indices[0], indices[1], indices[2]] > 0))
    distance = float(distances[hits[0]]) if hits.size else float(expected)
    cx, cy, cz = (c + distance * d for c, d in zip(vault.centre_mm, direction, strict=True))
    return Ray(direction, (cx, cy, cz))
