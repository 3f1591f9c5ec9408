"""Binary masks: dilation, and their share of coarser voxels."""

import numpy as np


def dilate(mask: np.ndarray, iterations: int = 1) -> np.ndarray:
    """Dilate a mask (x, y, z) by its 26-neighbours."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask, np.ones((3, 3, 3)), iterations=iterations))


def block_share(mask: np.ndarray, factor: int) -> np.ndarray:
    """Return the share of set voxels in every block of ``factor`` cubed voxels, (x, y, z) float32, 0 to 1."""
    return (_block_counts(mask, factor) / np.float32(factor**3)).astype(np.float32)


def block_majority(mask: np.ndarray, factor: int) -> np.ndarray:
    """Return whether at least half of every block of ``factor`` cubed voxels is set, (x, y, z) bool."""
    return np.asarray(2 * _block_counts(mask, factor) >= factor**3)


def _block_counts(mask: np.ndarray, factor: int) -> np.ndarray:
    x, y, z = (n // factor for n in mask.shape)
    return np.asarray(np.count_nonzero(mask.reshape(x, factor, y, factor, z, factor), axis=(1, 3, 5)))
