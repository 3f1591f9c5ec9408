"""From a scan's own grid onto the canonical grid, and back.

There: every target voxel counts how many of its sub-samples lie in bone (partial volume). All counts are
integers found in fixed-point arithmetic, so the result is the same on every machine. The count from which a
voxel is bone is chosen so that the bone volume is kept: a fixed one half eats thin bone, nearest neighbour
tears it.

Back: the surface is where a smooth interpolation of the mask passes the level that keeps the volume.
"""

from itertools import product

import numpy as np

from calvaria.geometry.grid import BONE, IMPLANT, Grid

THRESHOLDS = (0.25, 0.5)  # range of the occupancy from which a voxel is bone
BRICK = 16  # target voxels an edge; most bricks have no bone nearby and are skipped
FRACTION_BITS = 16  # of fixed-point voxel positions: 2^-16 voxel, up to 2^15 voxels an axis


def resample(labels: np.ndarray, affine: np.ndarray, pose: np.ndarray, grid: Grid) -> np.ndarray:
    """Return (x, y, z) uint8 labels of a scan on the grid, cropped to it.

    Args:
        labels: (i, j, k) uint8, 0 background, 1 bone, 2 implant.
        affine: (4, 4) voxel indices to RAS+ millimetres.
        pose: (4, 4) rigid, scan RAS+ millimetres to the box's.
    """
    to_scan = np.linalg.inv(pose @ affine)
    finest = np.linalg.norm(affine[:3, :3], axis=0).min()
    fineness = max(3, int(np.ceil(grid.spacing_mm / finest)))
    skull, implant = count_samples(labels, to_scan, grid, fineness)
    threshold = _volume_keeping_threshold(skull, fineness**3)
    out = np.where(skull >= threshold, BONE, 0).astype(np.uint8)
    out[(out == BONE) & (2 * implant >= skull)] = IMPLANT
    return out


def count_samples(
    labels: np.ndarray, to_scan: np.ndarray, grid: Grid, fineness: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sub-samples in skull and in implant per target voxel, (x, y, z) int32 each."""
    skull = np.zeros(grid.shape, np.int32)
    implant = np.zeros(grid.shape, np.int32)
    # Sub-sample positions in millimetres along each axis of the box, and their voxel positions in the scan.
    offsets = ((np.arange(fineness) + 0.5) / fineness - 0.5) * grid.spacing_mm
    scale = float(1 << FRACTION_BITS)
    parts = [
        [
            np.rint((grid.centres(axis)[:, None] + offsets).ravel() * to_scan[row, axis] * scale).astype(
                np.int64
            )
            for axis in range(3)
        ]
        for row in range(3)
    ]
    some_implant = bool((labels == IMPLANT).any())
    start = np.rint((to_scan[:3, 3] + 0.5) * scale).astype(np.int64)  # the half makes a floor of the rounding
    for corner in product(*(range(0, n, BRICK) for n in grid.shape)):
        brick = tuple(slice(a, min(a + BRICK, n)) for a, n in zip(corner, grid.shape, strict=True))
        fine = [slice(part.start * fineness, part.stop * fineness) for part in brick]
        along = [[parts[row][axis][fine[axis]] for axis in range(3)] for row in range(3)]
        low = [start[row] + sum(part.min() for part in along[row]) for row in range(3)]
        high = [start[row] + sum(part.max() for part in along[row]) for row in range(3)]
        box = tuple(
            slice(max(0, int(a) >> FRACTION_BITS), min(n, (int(b) >> FRACTION_BITS) + 1))
            for a, b, n in zip(low, high, labels.shape, strict=True)
        )
        if any(part.start >= part.stop for part in box) or not labels[box].any():
            continue
        near = np.pad(labels[box], 1)  # so that samples beyond the scan read background
        index = []
        for row in range(3):
            first = start[row] - (box[row].start << FRACTION_BITS)
            x, y, z = (part.astype(np.int32) for part in along[row])
            place = (x[:, None, None] + np.int32(first)) + y[None, :, None] + z[None, None, :]
            index.append(np.clip(place >> FRACTION_BITS, -1, near.shape[row] - 2) + 1)
        flat = (index[0] * near.shape[1] + index[1]) * near.shape[2] + index[2]
        values = near.ravel()[flat]
        n = [part.stop - part.start for part in brick]
        blocks = values.reshape(n[0], fineness, n[1], fineness, n[2], fineness)
        skull[brick] = np.count_nonzero(blocks, axis=(1, 3, 5))
        if some_implant:
            implant[brick] = np.count_nonzero(blocks == IMPLANT, axis=(1, 3, 5))
    return skull, implant


def _volume_keeping_threshold(counts: np.ndarray, full: int) -> int:
    """The count from which a voxel is bone, so that the bone's volume is nearest to that of the counts."""
    volume = counts.sum(dtype=np.int64) / full
    low, high = (max(1, round(fraction * full)) for fraction in THRESHOLDS)
    candidates = np.arange(low, high + 1)
    histogram = np.bincount(counts.ravel(), minlength=full + 1)
    at_least = histogram[::-1].cumsum()[::-1][candidates]
    return int(candidates[np.argmin(np.abs(at_least - volume))])


SMOOTHING_VOXELS = 0.65  # of the mask before it is interpolated; best of 0.5 to 0.85 on two native skulls
SLAB = 32  # scan voxels along the first axis that are interpolated at a time, to bound the memory


def restore(
    mask: np.ndarray, grid: Grid, affine: np.ndarray, pose: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Resample a mask on the canonical grid to a scan's native grid.

    Args:
        mask: (x, y, z), non-zero inside.
        affine: (4, 4) the scan's voxel indices to RAS+ millimetres.
        pose: (4, 4) rigid, as it was given to ``resample``.
        shape: of the scan.

    Returns:
        (i, j, k) uint8 of the scan's shape, 1 inside.
    """
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter((mask > 0).astype(np.float32), SMOOTHING_VOXELS)
    return restore_level(smooth, 0.5, mask > 0, grid.affine, affine, pose, shape)


def restore_level(
    field: np.ndarray,
    level: float,
    where: np.ndarray,
    to_world: np.ndarray,
    affine: np.ndarray,
    pose: np.ndarray,
    shape: tuple[int, ...],
) -> np.ndarray:
    """The voxels of a scan at which a field in the canonical box, interpolated cubically, exceeds a level.

    Args:
        field: (x, y, z) float32.
        to_world: (4, 4) the field's indices to the box's RAS+ millimetres.
        where: (x, y, z) bool; only its bounding box and two voxels around are looked at.

    Returns:
        (i, j, k) uint8 of the scan's shape, 1 where the field is higher.
    """
    from scipy.ndimage import affine_transform, spline_filter

    out = np.zeros(shape, np.uint8)
    positions = np.argwhere(where)
    if not len(positions):
        return out
    to_scan = np.linalg.inv(pose @ affine) @ to_world
    to_box = np.linalg.inv(to_scan)
    low, high = positions.min(axis=0) - 2, positions.max(axis=0) + 2
    corners = np.array(list(product(*zip(low, high, strict=True)))) @ to_scan[:3, :3].T + to_scan[:3, 3]
    first = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    last = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, shape)
    if (first >= last).any():
        return out
    splines = spline_filter(field, output=np.float32)
    for start in range(first[0], last[0], SLAB):
        origin = np.array([start, first[1], first[2]])
        size = (min(SLAB, last[0] - start), *(last[1:] - first[1:]))
        values = affine_transform(
            splines,
            to_box[:3, :3],
            to_box[:3, :3] @ origin + to_box[:3, 3],
            output_shape=size,
            output=np.float32,
            prefilter=False,
        )
        place = tuple(slice(a, a + n) for a, n in zip(origin, size, strict=True))
        out[place] = values > level
    return out
