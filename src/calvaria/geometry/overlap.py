"""Overlap of two masks."""

import numpy as np


def dice(one: np.ndarray, other: np.ndarray, *, both_empty: float = 1.0) -> float:
    """Return the Dice coefficient of two masks.

    Args:
        one: bool or integer mask of any shape, non-zero inside.
        other: mask of the same shape.
        both_empty: result if both masks are empty.

    Returns:
        Twice the shared voxels over the sum of both counts, in [0, 1].

    Raises:
        ValueError: if the shapes differ.
    """
    if one.shape != other.shape:
        raise ValueError(f"expected masks of one shape, got {one.shape} and {other.shape}")
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    if not total:
        return both_empty
    return 2 * int(np.count_nonzero((one != 0) & (other != 0))) / total


def dice_of_pairs(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the Dice coefficients of pairs of masks.

    Args:
        masks: (n, x, y, z), positive inside.
        others: (n, x, y, z), the partner of each.

    Returns:
        (n,) float64 in [0, 1]; 0, not 1, where both masks are empty.
    """
    axes = (1, 2, 3)
    a, b = masks > 0, others > 0
    shared = np.count_nonzero(a & b, axis=axes)
    return 2 * shared / np.maximum(np.count_nonzero(a, axis=axes) + np.count_nonzero(b, axis=axes), 1)
