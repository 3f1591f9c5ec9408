"""Signed distances of masks."""

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
