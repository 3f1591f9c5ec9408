"""Signed distances of masks: from voxels, or from a surface that is precise to a fraction of a voxel."""

import numpy as np


def signed_depth(mask: np.ndarray) -> np.ndarray:
    """Return the depth of every voxel in a mask, in voxels.

    Distances run between voxel centres; the surface lies half a voxel from these, so that no
    depth is between -0.5 and 0.5. The border of the volume is not a surface.

    Args:
        mask: (x, y, z) bool, contiguous in C order.

    Returns:
        (x, y, z) float32, positive inside, negative outside; infinite if the mask is full or empty.
    """
    import edt

    inside = edt.edt(mask, black_border=False)
    outside = edt.edt(~mask, black_border=False)
    return np.where(mask, inside - 0.5, 0.5 - outside)


BLUR_VOXELS = 0.6  # of the occupancy, before its slope is measured
# Of a plane's blurred edge; the variance of a voxel is 1/12.
WIDTH_VOXELS = (BLUR_VOXELS**2 + 1 / 12) ** 0.5
NEAR_VOXELS = 3.0  # distance up to which a surface is taken for a plane
LEAST_DEPTH = 0.02  # so that a voxel keeps its side of the surface
STRAIGHT = 0.8  # cosine of the angle to the normal above which a surface is taken for a plane at any distance


def subvoxel_depth(mask: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return the depth of every voxel in a mask, in voxels, from the share of each voxel that is inside.

    Value and slope of the share give a plane in every voxel that has a neighbour on the other side. Elsewhere
    the depth is that to the plane of the nearest such voxel or, off its normal, to the foot of that normal.
    Distances from voxels alone have terraces, several voxels wide, where a surface is nearly parallel to the
    grid.

    Args:
        mask: (x, y, z) bool.
        share: (x, y, z) float32 share of the voxel inside the surface, 0 to 1.

    Returns:
        (x, y, z) float32, positive in the mask, negative outside; infinite if the mask is full or empty.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter
    from scipy.special import ndtri

    border = _border(mask)
    if not border.any():
        return np.where(mask, np.float32(np.inf), np.float32(-np.inf))
    level = gaussian_filter(share, BLUR_VOXELS, truncate=3.0)
    offset = np.zeros(mask.shape, np.float32)
    offset[border] = WIDTH_VOXELS * ndtri(level[border])
    places = np.nonzero(border)
    slopes = np.stack([_slope(level, places, axis) for axis in range(3)])
    normals = slopes / np.maximum(np.linalg.norm(slopes, axis=0), np.float32(1e-6))
    nearest = distance_transform_edt(~border, return_distances=False, return_indices=True)
    number = np.zeros(mask.shape, np.int32)
    number[places] = np.arange(len(places[0]))
    which = number[tuple(nearest)]
    offset = offset[places][which]
    plane, foot, square = np.zeros_like(offset), np.zeros_like(offset), np.zeros_like(offset)
    for axis, n in enumerate(mask.shape):
        index = np.arange(n, dtype=np.int32).reshape(-1, *[1] * (2 - axis))
        away, normal = (index - nearest[axis]).astype(np.float32), normals[axis][which]
        plane += away * normal
        square += away * away
        foot += (away + offset * normal) ** 2
    flat = (np.abs(plane) >= STRAIGHT * np.sqrt(square)) | (square <= NEAR_VOXELS**2)
    side = np.where(mask, np.float32(1), np.float32(-1))
    depth = np.where(flat, plane + offset, side * np.sqrt(foot))
    return np.asarray(side * np.maximum(side * depth, np.float32(LEAST_DEPTH)))


def _border(mask: np.ndarray) -> np.ndarray:
    """Return (x, y, z) bool: voxels with a face on the other side of a mask's surface."""
    border = np.zeros_like(mask)
    for axis in range(3):
        along, out = np.moveaxis(mask, axis, 0), np.moveaxis(border, axis, 0)
        differs = along[1:] != along[:-1]
        out[1:] |= differs
        out[:-1] |= differs
    return border


def _slope(level: np.ndarray, places: tuple[np.ndarray, ...], axis: int) -> np.ndarray:
    """Return the central differences of (x, y, z) levels along an axis, per voxel, at n places."""
    low, high = list(places), list(places)
    low[axis] = np.maximum(places[axis] - 1, 0)
    high[axis] = np.minimum(places[axis] + 1, level.shape[axis] - 1)
    difference = level[tuple(high)] - level[tuple(low)]
    return np.asarray(difference / (high[axis] - low[axis]).astype(np.float32))
