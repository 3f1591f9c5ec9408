"""Cuts a defect into a complete skull: a pure function of skull, grid and parameters."""

import math

import numpy as np

from calvaria.defects.pieces import SPECK_FRACTION, pieces
from calvaria.defects.shapes import Defect
from calvaria.grid import BONE, IMPLANT, Grid


def apply_defect(skull: np.ndarray, grid: Grid, defect: Defect) -> np.ndarray:
    """The label volume of a case.

    Bone inside the defect and on its vault becomes implant. Specks of it that are cut off from the rest
    (inner structures that the outline grazes) stay bone, so that the implant is what a surgeon would fill.

    Args:
        skull: (x, y, z) bool or uint8 complete skull, bone where it is not 0.

    Returns:
        (x, y, z) uint8: 0 background, 1 remaining bone, 2 implant; it is > 0 exactly where the skull is.
    """
    labels: np.ndarray = np.not_equal(skull, 0).view(np.uint8)
    window = _window(grid, defect)
    block = labels[window]
    i, j, k = np.nonzero(block)
    x, y, z = (grid.centres(axis)[window[axis]][index] for axis, index in enumerate((i, j, k)))
    near = np.flatnonzero(defect.vault.contains(x, y, z))
    cut = near[defect.distance_mm(x[near], y[near], z[near]) <= 0]
    voxels = i[cut], j[cut], k[cut]
    block[voxels] = IMPLANT
    speck = _specks(block.shape, voxels)
    block[tuple(index[speck] for index in voxels)] = BONE
    return labels


def _window(grid: Grid, defect: Defect) -> tuple[slice, slice, slice]:
    """The voxels whose centres may lie in the defect."""
    slices = []
    for n, low, high in zip(grid.shape, *defect.bounds_mm(), strict=True):
        first = math.floor(low / grid.spacing_mm + (n - 1) / 2)
        last = math.ceil(high / grid.spacing_mm + (n - 1) / 2)
        slices.append(slice(min(max(first, 0), n), min(max(last + 1, 0), n)))
    return slices[0], slices[1], slices[2]


def _specks(shape: tuple[int, ...], voxels: tuple[np.ndarray, ...]) -> np.ndarray:
    """(n,) bool: which of the n voxels, indices into a volume of this shape, are in small separate pieces."""
    if not voxels[0].size:
        return np.zeros(0, bool)
    mask = np.zeros(shape, bool)
    mask[voxels] = True
    numbers, sizes = pieces(mask)
    return np.asarray(sizes[numbers[voxels]] < SPECK_FRACTION * sizes.max())
