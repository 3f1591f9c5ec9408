"""Resampling from a scan's native grid to the canonical grid, and back.

Forward: the sub-samples of every target voxel that lie in bone are counted (partial volume, `sampling`).
The count from which a voxel is bone is chosen to preserve the bone volume: a fixed threshold of one half
erodes thin bone, and nearest-neighbour sampling breaks it up.

Backward: the surface is where a smooth interpolation of the mask passes a given level.
"""

from itertools import product

import numpy as np

from calvaria.geometry.grid import BONE, IMPLANT, Grid
from calvaria.geometry.region import Region
from calvaria.geometry.sampling import Samples

THRESHOLDS = (0.25, 0.5)  # range of the occupancy from which a voxel is bone


def resample(labels: np.ndarray, affine: np.ndarray, pose: np.ndarray, grid: Grid) -> np.ndarray:
    """Return (x, y, z) uint8 labels of a scan on the grid, cropped to it.

    Args:
        labels: (i, j, k) uint8, 0 background, 1 bone, 2 implant.
        affine: (4, 4) voxel indices to RAS+ millimetres.
        pose: (4, 4) rigid, scan RAS+ millimetres to the box's.
    """
    return resample_samples(Samples.of(labels), affine, pose, grid)


def resample_with_occupancy(
    labels: np.ndarray, affine: np.ndarray, pose: np.ndarray, grid: Grid
) -> tuple[np.ndarray, np.ndarray]:
    """Return the result of ``resample``, and the (x, y, z) uint8 share of every voxel in bone, 0 to 255."""
    samples = Samples.of(labels)
    skull, implant, full = _counts(samples, affine, pose, grid)
    occupancy = np.rint(skull * np.float32(255 / full)).astype(np.uint8)
    return _labels(samples, skull, implant, full), occupancy


def resample_samples(samples: Samples, affine: np.ndarray, pose: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the result of ``resample``, given the samples of the scan."""
    return _labels(samples, *_counts(samples, affine, pose, grid))


def _counts(
    samples: Samples, affine: np.ndarray, pose: np.ndarray, grid: Grid
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return every voxel's sub-samples (x, y, z) in bone or implant, those in the implant, and of a voxel."""
    to_scan = np.linalg.inv(pose @ affine)
    finest = np.linalg.norm(affine[:3, :3], axis=0).min()
    fineness = max(3, int(np.ceil(grid.spacing_mm / finest)))
    return *samples.count(to_scan, grid, fineness), fineness**3


def _labels(samples: Samples, skull: np.ndarray, implant: np.ndarray, full: int) -> np.ndarray:
    """Return the (x, y, z) uint8 labels of counts."""
    threshold = _volume_keeping_threshold(skull, full)
    bone = skull >= threshold
    out = np.where(bone, np.uint8(BONE), np.uint8(0))
    if samples.implant:
        out[bone & (implant >= skull - implant)] = IMPLANT
    return out


def _volume_keeping_threshold(counts: np.ndarray, full: int) -> int:
    """Return the count from which a voxel is bone, with the bone volume nearest to that of the counts."""
    volume = counts.sum(dtype=np.int64) / full
    low, high = (max(1, round(fraction * full)) for fraction in THRESHOLDS)
    candidates = np.arange(low, high + 1)
    histogram = np.bincount(counts[counts > 0], minlength=full + 1)  # most are 0, and so not bone
    at_least = histogram[::-1].cumsum()[::-1][candidates]
    return int(candidates[np.argmin(np.abs(at_least - volume))])


SMOOTHING_VOXELS = 0.65  # of the mask before it is interpolated; best of 0.5 to 0.85 on two native skulls
LEVEL_MARGIN = 1e-3  # for the rounding of spline weights, whose sum is 1
SLAB = 32  # scan voxels along the first axis that are interpolated at a time, to bound the memory


def restore(
    mask: np.ndarray, grid: Grid, affine: np.ndarray, pose: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Resample a mask on the canonical grid to a scan's native grid.

    Args:
        mask: (x, y, z), non-zero inside.
        affine: (4, 4) the scan's voxel indices to RAS+ millimetres.
        pose: (4, 4) rigid, as passed to ``resample``.
        shape: of the scan.

    Returns:
        (i, j, k) uint8 of the scan's shape, 1 inside.
    """
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter((mask > 0).astype(np.float32), SMOOTHING_VOXELS)
    region = restore_level(smooth, 0.5, mask > 0, grid.affine, affine, pose, shape)
    return region.whole().view(np.uint8)


def restore_level(
    field: np.ndarray,
    level: float,
    where: np.ndarray,
    to_world: np.ndarray,
    affine: np.ndarray,
    pose: np.ndarray,
    shape: tuple[int, ...],
) -> Region:
    """Return the voxels of a scan at which a cubically interpolated field in the box exceeds a level.

    Args:
        field: (x, y, z) float32.
        level: positive.
        to_world: (4, 4) the field's indices to the box's RAS+ millimetres.
        where: (x, y, z) bool; only its bounding box and a margin of two voxels are evaluated.

    Returns:
        the evaluated part of the scan, set where the field exceeds the level.
    """
    from scipy.ndimage import map_coordinates, maximum_filter, spline_filter

    positions = np.argwhere(where)
    if not len(positions):
        return Region.empty(shape)
    to_scan = np.linalg.inv(pose @ affine) @ to_world
    to_box = np.linalg.inv(to_scan)
    low, high = positions.min(axis=0) - 2, positions.max(axis=0) + 2
    corners = np.array(list(product(*zip(low, high, strict=True)))) @ to_scan[:3, :3].T + to_scan[:3, 3]
    first = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    last = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, shape)
    if (first >= last).any():
        return Region.empty(shape)
    out = np.empty(last - first, bool)
    splines = spline_filter(field, output=np.float32)
    # A value is a weighted mean of the four coefficients around it on each axis, so at most their maximum.
    near = maximum_filter((splines > level - LEVEL_MARGIN).view(np.uint8), 5).view(bool)
    for start in range(first[0], last[0], SLAB):
        origin = np.array([start, first[1], first[2]])
        size = (min(SLAB, last[0] - start), *(last[1:] - first[1:]))
        places = _places(to_box, origin, size)
        chosen = _lookup(near, places)
        values = map_coordinates(splines, places[:, chosen], output=np.float32, prefilter=False)
        slab = np.zeros(size, bool)
        slab[chosen] = values > level
        out[start - first[0] :][: size[0]] = slab
    x, y, z = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return Region((x, y, z), out, shape)


def _places(to_box: np.ndarray, origin: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return the positions of a scan's voxels in a field, (3, i, j, k) float64 in voxels of the field.

    Args:
        to_box: (4, 4) the scan's voxel indices to the field's.
        origin: (3,) the first voxel.
        size: voxels along i, j, k.
    """
    i, j, k = (np.arange(n, dtype=np.float64) for n in size)
    shift = to_box[:3, :3] @ origin + to_box[:3, 3]
    places = np.empty((3, *size))
    for row, place, start in zip(to_box[:3, :3], places, shift, strict=True):
        sheet = (i * row[0])[:, None] + j * row[1]
        np.add(sheet[:, :, None], k * row[2], out=place)
        place += start
    return places


def _lookup(mask: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return a mask's values in the voxels in which places, (3, i, j, k), lie; False beyond it."""
    inside = np.ones(places.shape[1:], bool)
    voxels = []
    for place, n in zip(places, mask.shape, strict=True):
        inside &= (place >= 0) & (place <= n - 1)
        voxels.append(np.clip(place, 0, n - 1).astype(np.int32))
    return np.asarray(mask[tuple(voxels)] & inside)
