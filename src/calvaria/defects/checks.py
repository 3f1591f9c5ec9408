"""Whether a case can be used for training or testing."""

import numpy as np

from calvaria.defects.pieces import SPECK_FRACTION, bounding_box, pieces
from calvaria.grid import BONE, IMPLANT, Grid


def check_case(labels: np.ndarray, grid: Grid, implant_ml: tuple[float, float]) -> str | None:
    """Why a case is unusable, or None if it is fine.

    The reasons hold no numbers, so that they can be counted.

    Args:
        labels: (x, y, z) uint8, 0 background, 1 remaining bone, 2 implant.
        implant_ml: least and most implant volume, both allowed.
    """
    box = bounding_box(labels, IMPLANT)
    if box is None:
        return "implant empty"
    implant = labels[box] == IMPLANT
    least, most = implant_ml
    volume_ml = np.count_nonzero(implant) * grid.spacing_mm**3 / 1000
    if volume_ml < least:
        return "implant too small"
    if volume_ml > most:
        return "implant too large"
    sizes = pieces(implant)[1]
    if np.count_nonzero(sizes >= SPECK_FRACTION * sizes.max()) > 1:
        return "implant in several pieces"
    if bounding_box(labels, BONE) is None:
        return "no bone remaining"
    return None
