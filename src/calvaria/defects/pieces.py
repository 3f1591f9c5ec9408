"""Connected pieces of a mask."""

import numpy as np

# A piece below this fraction of the largest one is a speck: bone that the defect's outline only grazes.
SPECK_FRACTION = 0.05


def pieces(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 26-connected pieces of a mask.

    26 neighbours, because on a coarse grid bone is one or two voxels thick and its slopes are joined
    by corners only.

    Args:
        mask: (x, y, z) bool.

    Returns:
        (x, y, z) unsigned labels from 1, 0 outside, and (n + 1,) int64 voxel counts with 0 for the outside.
    """
    import cc3d

    numbers, count = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=26, return_N=True)
    sizes = np.bincount(numbers[mask], minlength=count + 1)
    return numbers, sizes


def bounding_box(volume: np.ndarray, bit: int = 1) -> tuple[slice, slice, slice] | None:
    """The smallest box around a mask.

    Args:
        volume: (x, y, z) bool mask, or uint8 labels.
        bit: the label that makes the mask, one that is a power of two: bits survive being or-ed together,
            which reads the volume once and makes no copy.

    Returns:
        Slices along x, y, z; None if nothing is set.

    Raises:
        ValueError: if the volume has another type.
    """
    if volume.dtype.itemsize != 1:
        raise ValueError(f"labels must be bool or uint8, got {volume.dtype}")
    volume = volume.view(np.uint8)
    plane = np.bitwise_or.reduce(volume, axis=0) & bit
    if not plane.any():
        return None
    y, z = (_span(plane.any(axis=axis)) for axis in (1, 0))
    column = np.ascontiguousarray(volume[:, y, z])
    return _span(np.bitwise_or.reduce(column, axis=(1, 2)) & bit), y, z


def _span(line: np.ndarray) -> slice:
    indices = np.flatnonzero(line)
    return slice(int(indices[0]), int(indices[-1]) + 1)
