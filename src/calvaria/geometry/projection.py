"""The azimuthal equidistant projection: a picture of the vault from the inside of a head.

The distance of a point from the picture's centre is its angle from the pole, the z axis; the picture's
border, at 1, is the largest angle in view.

The inverse, from points to pixels, is implemented where it is used (``skull.matching``,
``families.representation``, ``reconstruction.surfaces.hole``), as each rounds differently: a shared version
would change the last bits of the matching of people, of the families' training data, and of the implants.
"""

import numpy as np


def pixel_positions(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return first and second coordinate in [-1, 1] of the pixels' centres, (size, size) float64 each."""
    centres = (np.arange(size) + 0.5) / size * 2 - 1
    first, second = np.meshgrid(centres, centres, indexing="ij")
    return first, second


def pixel_directions(size: int, cone_deg: float) -> np.ndarray:
    """Return the directions of the pixels.

    Args:
        size: pixels along each edge of the picture.
        cone_deg: degrees from the pole to the picture's border.

    Returns:
        (size, size, 3) float64 unit vectors; the pole is (0, 0, 1).
    """
    first, second = pixel_positions(size)
    distance = np.hypot(first, second)
    angle = distance * np.deg2rad(cone_deg)
    along = np.sin(angle) / np.maximum(distance, 1e-9)
    return np.stack([first * along, second * along, np.cos(angle)], axis=-1)
