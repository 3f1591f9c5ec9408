"""Equality of two voxel grids: whether each voxel of one has the position of a voxel of the other."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from calvaria.geometry.orientation import Orientation

Affine = npt.NDArray[np.float64]  # (4, 4) voxel indices to RAS+ millimetres

SAME_VOXELS = 0.1  # tolerance in voxels of the smallest edge, as headers are rounded


def corners_apart_mm(a: Affine, b: Affine, shape: Sequence[int]) -> float:
    """Return the largest distance between the same corner voxel under two affines."""
    corners = np.array(list(product(*((0, n - 1) for n in shape))), np.float64)
    step = corners @ (a - b)[:3, :3].T + (a - b)[:3, 3]
    return float(np.linalg.norm(step, axis=1).max())


def same_grid_mm(affine: Affine) -> float:
    """Return the largest accepted distance between corners of equal grids."""
    return SAME_VOXELS * float(np.linalg.norm(affine[:3, :3], axis=0).min())


def in_order_of(
    reference: Affine, values: npt.NDArray[Any], affine: Affine
) -> tuple[npt.NDArray[Any], Affine]:
    """Return a view of an array in the axis order and direction closest to a reference, and its affine.

    Args:
        reference: of the other array.
        values: (i, j, k) of this one.
        affine: of this one.
    """
    order = Orientation.of(np.linalg.inv(reference) @ affine)
    return order.to_canonical(values), order.canonical_affine(affine, values.shape)
