"""Conforms a scan to the canonical grid: one pose, one spacing, labels kept.

Every target voxel counts how many of its sub-samples lie in bone (partial volume). All counts are
integers, so the result is the same on every machine. The count from which a voxel is bone is chosen so
that the bone volume is kept: a fixed one half eats thin bone, nearest neighbour tears it.
"""

import numpy as np

from calvaria.errors import InputError
from calvaria.grid import BONE, IMPLANT, Grid
from calvaria.sources import Scan

VAULT_DEPTH_MM = 70.0  # below the top of the head lie vault and forehead, above it no jaw or neck
THRESHOLDS = (0.25, 0.5)  # range of the occupancy from which a voxel is bone


def conform(scan: Scan, grid: Grid, top_margin_mm: float) -> np.ndarray:
    """(x, y, z) uint8 labels of the scan on the grid.

    The vault is centred in x and y, its top lies ``top_margin_mm`` below the top of the box; what
    reaches below the box is cut off.

    Raises:
        InputError: if the vault is larger than the box.
    """
    points = _world(np.argwhere(scan.labels > 0), scan.affine)
    shift = _pose_shift(scan.id, points, grid, top_margin_mm)
    inside = (np.abs(points + shift) <= np.array(grid.extent_mm) / 2).all(axis=1)
    bone_mm3 = np.count_nonzero(inside) * abs(np.linalg.det(scan.affine[:3, :3]))
    fineness = max(3, int(np.ceil(grid.spacing_mm / np.linalg.norm(scan.affine[:3, :3], axis=0).min())))
    skull, implant = _occupancy(scan, grid, shift, fineness)
    threshold = _volume_keeping_threshold(skull, bone_mm3 / grid.spacing_mm**3, fineness**3)
    labels = np.where(skull >= threshold, BONE, 0).astype(np.uint8)
    labels[(labels == BONE) & (2 * implant >= skull)] = IMPLANT
    return labels


def _world(indices: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """(n, 3) world points of (n, 3) voxels; not by a matrix product, whose last bits differ by machine."""
    columns = [indices[:, axis, None] * affine[:3, axis] for axis in range(3)]
    return columns[0] + columns[1] + columns[2] + affine[:3, 3]


def _pose_shift(name: str, points: np.ndarray, grid: Grid, top_margin_mm: float) -> np.ndarray:
    """(3,) shift in mm that takes the scan's bone, (n, 3) world points, to the canonical pose."""
    top = points[:, 2].max()
    vault = points[points[:, 2] > top - VAULT_DEPTH_MM]
    low, high = vault.min(axis=0), vault.max(axis=0)
    for axis, way in ((0, "wide"), (1, "long")):
        if high[axis] - low[axis] > grid.extent_mm[axis]:
            raise InputError(
                f"{name}: the vault is {high[axis] - low[axis]:.0f} mm {way}, the grid holds "
                f"{grid.extent_mm[axis]:.0f} mm; enlarge grid.shape or grid.spacing_mm, or check the header"
            )
    target_top = grid.extent_mm[2] / 2 - top_margin_mm
    return np.array([-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, target_top - top])


def _occupancy(scan: Scan, grid: Grid, shift: np.ndarray, fineness: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of sub-samples in skull and implant per target voxel, (x, y, z) int32 each."""
    # Rounded, since the last bits of an inverse depend on the machine.
    inverse = np.round(np.linalg.inv(scan.affine), 12)
    offsets = ((np.arange(fineness) + 0.5) / fineness - 0.5) * grid.spacing_mm
    fine = [(grid.centres(axis)[:, None] + offsets).ravel() - shift[axis] for axis in range(3)]
    padded = np.pad(scan.labels, 1)  # so that samples beyond the scan read background
    skull = np.zeros(grid.shape, np.int32)
    implant = np.zeros(grid.shape, np.int32)
    nx, ny, nz = grid.shape
    for x in range(nx):  # slab by slab, to bound the memory
        index = []
        for axis in range(3):
            position = (
                inverse[axis, 0] * fine[0][x * fineness : (x + 1) * fineness, None, None]
                + inverse[axis, 1] * fine[1][None, :, None]
                + inverse[axis, 2] * fine[2][None, None, :]
                + inverse[axis, 3]
            )
            nearest = np.floor(position + 0.5).astype(np.int32)
            index.append(np.clip(nearest, -1, scan.labels.shape[axis]) + 1)
        values = padded[tuple(np.broadcast_arrays(*index))]
        blocks = values.reshape(fineness, ny, fineness, nz, fineness)
        skull[x] = np.count_nonzero(blocks, axis=(0, 2, 4))
        implant[x] = np.count_nonzero(blocks == IMPLANT, axis=(0, 2, 4))
    return skull, implant


def _volume_keeping_threshold(counts: np.ndarray, wanted_voxels: float, full: int) -> int:
    """The count from which a voxel is bone, so that about ``wanted_voxels`` voxels are."""
    low, high = (max(1, round(fraction * full)) for fraction in THRESHOLDS)
    candidates = np.arange(low, high + 1)
    at_least = np.array([np.count_nonzero(counts >= candidate) for candidate in candidates])
    return int(candidates[np.argmin(np.abs(at_least - wanted_voxels))])
