"""Binary masks."""

import numpy as np


def dilate(mask: np.ndarray, iterations: int = 1) -> np.ndarray:
    """Dilate a mask (x, y, z) by its 26-neighbours."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask, np.ones((3, 3, 3)), iterations=iterations))
