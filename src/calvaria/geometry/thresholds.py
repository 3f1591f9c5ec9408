"""Thresholds that preserve a volume; a fixed one would thicken or erode thin bone."""

import numpy as np


def count_keeping_threshold(values: np.ndarray, count: int) -> np.floating:
    """Return the value that ``count`` values reach or exceed; more if several are equal to it.

    Args:
        values: floats of any shape, without NaN.
        count: number of values to keep, from 1 to the size of ``values``.

    Returns:
        A scalar of the type of ``values``: its ``count``-th largest.

    Raises:
        ValueError: if ``count`` is out of range.
    """
    if not 1 <= count <= values.size:
        raise ValueError(f"expected a count from 1 to {values.size}, got {count}")
    place = values.size - count
    threshold: np.floating = np.partition(values, place, axis=None)[place]
    return threshold
