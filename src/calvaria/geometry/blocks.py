"""Occupied blocks of a volume, for skipping empty space."""

import numpy as np


def occupied(labels: np.ndarray, edge: int) -> np.ndarray:
    """Return which blocks of a volume have a label.

    Args:
        labels: (x, y, z) bool or uint8, in any memory order.
        edge: voxels along each edge of a block; the last ones may be smaller.

    Returns:
        (ceil(x / edge), ceil(y / edge), ceil(z / edge)) bool.
    """
    if labels.strides[0] < labels.strides[-1]:  # read along the axis that is the fastest in memory
        return occupied(labels.T, edge).T
    blocks = labels
    for axis in range(3):  # the last is the fastest in memory, and by then the smallest
        lines = np.moveaxis(blocks, axis, 0)
        found = lines[::edge].copy()
        for start in range(1, edge):
            others = lines[start::edge]
            found[: len(others)] |= others
        blocks = np.moveaxis(found, 0, axis)
    return np.asarray(blocks != 0)
