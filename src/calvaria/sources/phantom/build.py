"""Voxels of a phantom from its parameters; no random numbers are used.

The anatomy itself, in the head's own frame, is in `anatomy.py`; this module scales it, skews it (no head
is symmetric), rotates it to a pose in the scanner, and cuts it at the lower edge of the field of view.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import numpy.typing as npt

from calvaria.geometry.components import largest_component
from calvaria.geometry.rotation import rotation_of_half_tangents
from calvaria.sources.phantom.anatomy import skull
from calvaria.sources.phantom.parameters import Phantom
from calvaria.sources.phantom.sdf import Field, Points

# Half extents in mm of the box that holds any phantom, from the origin at the ear canals.
_LOW, _HIGH = (-92.0, -122.0, -90.0), (92.0, 132.0, 142.0)
_BRICK = 20  # voxels along each edge: few enough to skip most of the box, and to keep fields in the cache
_MARGIN = 3  # empty voxels left around the bone


def rotation(pitch_deg: float, roll_deg: float, yaw_deg: float) -> tuple[tuple[float, float, float], ...]:
    """Return the rows of the rotation about x (pitch), y (roll) and z (yaw), by a normalised quaternion.

    Half angles approximate their tangents, to 0.2 degrees up to 20 degrees; unlike sine and cosine, they
    are rounded the same everywhere.
    """
    half = 3.14159265358979 / 360.0
    a, b, c = pitch_deg * half, roll_deg * half, yaw_deg * half
    return rotation_of_half_tangents(a, b, c)


def head_points(x: Field, y: Field, z: Field, phantom: Phantom) -> Points:
    """Return scanner positions in the head's frame: without rotation, scaling and asymmetry."""
    r = rotation(phantom.pitch_deg, phantom.roll_deg, phantom.yaw_deg)
    u = (r[0][0] * x + r[1][0] * y + r[2][0] * z) * (1.0 / phantom.width)
    v = (r[0][1] * x + r[1][1] * y + r[2][1] * z) * (1.0 / phantom.length)
    w = (r[0][2] * x + r[1][2] * y + r[2][2] * z) * (1.0 / phantom.height)
    side = u * (1.0 / 70.0)
    along = v * (1.0 / 90.0)
    skewed_u = u + phantom.side_breadth * 70.0 * side * side
    skewed_u = skewed_u + phantom.midline_bend * 90.0 * along * along
    return Points.of(skewed_u, v + phantom.side_advance * 90.0 * side, w + phantom.side_drop * 70.0 * side)


def bricks(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield slices that tile a volume; processing brick by brick bounds the memory."""
    for corner in product(*(range(0, n, _BRICK) for n in shape)):
        yield tuple(slice(a, min(a + _BRICK, n)) for a, n in zip(corner, shape, strict=True))


def build_phantom(
    phantom: Phantom, spacing_mm: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Return the skull's (x, y, z) uint8 mask, 1 for bone, and its (4, 4) affine from voxels to RAS+ mm."""
    first = [int(np.floor(low / spacing_mm)) for low in _LOW]
    last = [int(np.ceil(high / spacing_mm)) for high in _HIGH]
    axes = [np.arange(a, b + 1, dtype=np.float64) * spacing_mm for a, b in zip(first, last, strict=True)]
    mask = np.zeros([len(axis) for axis in axes], np.uint8)
    tiles = list(bricks(mask.shape))
    # The value at its middle decides a brick that lies far from any surface.
    x, y, z = (
        np.array([axis[(tile[i].start + tile[i].stop) // 2] for tile in tiles]) for i, axis in enumerate(axes)
    )
    depths = skull(head_points(x, y, z, phantom), phantom, spacing_mm)
    for tile, depth in zip(tiles, depths.tolist(), strict=True):
        x, y, z = np.meshgrid(
            *(axis[s] for axis, s in zip(axes, tile, strict=True)), indexing="ij", sparse=True
        )
        visible = z > phantom.cut_height + phantom.cut_slope_x * x + phantom.cut_slope_y * y
        if abs(depth) > 1.2 * _BRICK * spacing_mm:
            mask[tile] = visible & (depth <= 0.0)
        elif visible.any():
            mask[tile] = visible & (skull(head_points(x, y, z, phantom), phantom, spacing_mm) <= 0.0)
    mask = largest_component(mask).astype(np.uint8)  # the cut at the lower edge leaves loose splinters
    return crop(mask, first, spacing_mm, (phantom.shift_x, phantom.shift_y, phantom.shift_z))


def crop(
    mask: npt.NDArray[np.uint8], first: list[int], spacing_mm: float, shift: tuple[float, float, float]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Return the mask without its empty borders, and the affine that preserves its world position."""
    affine = np.diag([spacing_mm] * 3 + [1.0])
    box = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        start = max(int(used[0]) - _MARGIN, 0)
        box.append(slice(start, int(used[-1]) + 1 + _MARGIN))
        affine[axis, 3] = (first[axis] + start) * spacing_mm + shift[axis]
    return np.ascontiguousarray(mask[tuple(box)]), affine
