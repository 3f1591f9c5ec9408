"""The vault of a skull: its centre, size and extent.

All are measured from two silhouettes of the mask, so that specks of bone and parts of a head-band have no
effect, and every field of view that ends below the ears gives the same vault.
"""

import numpy as np
from pydantic import BaseModel, ConfigDict

from calvaria.errors import InputError
from calvaria.geometry.grid import Grid

Vector = tuple[float, float, float]

SLAB_MM = 80.0  # height of the top of the head, in which width and length are measured
LEAST_RUN_MM = 20.0  # rows of a silhouette with less bone than this are specks or residue
FLOOR_FRONT, FLOOR_BACK = 0.15, 0.6  # depth below the centre, relative to the lateral semi-axis
ORBITAL_FLOOR_FRONT = 0.5  # the same for defects of the brow: through the middle of the orbits
INNER = 0.6  # bone deeper than this fraction of the vault's ellipsoid is base, falx or calcification


class Frozen(BaseModel):
    """An immutable value that can be stored as JSON and restored exactly."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Vault(Frozen):
    """The ellipsoid of the vault, the part of the skull in which defects are allowed.

    The upper half of the ellipsoid follows the outer surface. A voxel belongs to the vault if it lies
    above a floor plane, which falls from just above the orbits (or lower) to the level of the inion, and
    outside a concentric ellipsoid of ``INNER`` times the size, which excludes skull base and falx.
    """

    centre_mm: Vector
    """World position (x, y, z): on the midline, half the vault's width below the vertex."""
    semi_axes_mm: Vector
    """Half the width (x), half the length (y), height of the vertex above the centre (z)."""
    floor_front: float = FLOOR_FRONT
    """Depth of the floor plane below the centre at the forehead, relative to the lateral semi-axis."""

    def contains(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return (n,) bool: which world positions in mm, (n,) float64 each, belong to the vault."""
        (cx, cy, cz), (a, b, c) = self.centre_mm, self.semi_axes_mm
        u, v, w = (x - cx) / a, (y - cy) / b, (z - cz) / a
        middle, slope = (self.floor_front + FLOOR_BACK) / 2, (FLOOR_BACK - self.floor_front) / 2
        above = w + middle >= v * slope
        h = w * (a / c)
        return above & (u * u + v * v + h * h >= INNER * INNER)

    def above_floor(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the height above the floor plane, along z in mm, of positions relative to the centre."""
        (a, b, _), front = self.semi_axes_mm, self.floor_front
        return np.asarray(z + a * ((front + FLOOR_BACK) / 2 - (FLOOR_BACK - front) / 2 * y / b))


def rounded(*values: float) -> Vector:
    """Return three values rounded to 1e-4, so that stored parameters do not depend on the machine."""
    x, y, z = (round(float(value), 4) + 0.0 for value in values)
    return x, y, z


def unit(x: float, y: float, z: float) -> Vector:
    """Return a vector of length 1 along (x, y, z)."""
    length = float(np.sqrt(x * x + y * y + z * z))
    return x / length, y / length, z / length


def find_vault(skull: np.ndarray, grid: Grid) -> Vault:
    """Return the vault of a complete skull.

    Args:
        skull: (x, y, z) bool or uint8, non-zero where there is bone.

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


def cross(a: Vector, b: Vector) -> Vector:
    """Return the cross product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def tangents(direction: Vector) -> tuple[Vector, Vector]:
    """Return two unit vectors orthogonal to a direction: to its right as seen from outside, and upwards."""
    x, y, _ = direction
    right = unit(-y, x, 0.0) if x * x + y * y > 1e-8 else (1.0, 0.0, 0.0)
    return right, cross(direction, right)
