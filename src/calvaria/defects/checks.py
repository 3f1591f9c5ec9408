"""Check whether a case is usable for training or testing."""

import numpy as np

from calvaria.geometry.components import SPECK_FRACTION, Implants, bounding_box, cut_off, implants
from calvaria.geometry.grid import BONE, IMPLANT, Grid


def check_case(
    labels: np.ndarray,
    grid: Grid,
    implant_ml: tuple[float, float],
    intended: int = 1,
    known: Implants | None = None,
) -> str | None:
    """Return the reason why a case is unusable, or None.

    Reasons contain no numbers, so that equal ones can be counted.

    Args:
        labels: (x, y, z) uint8, 0 background, 1 remaining bone, 2 implant.
        implant_ml: minimum and maximum implant volume, inclusive.
        intended: number of separate implants.
        known: the implants of these labels, if already computed.
    """
    known = known or implants(labels)
    if known is None:
        return "implant empty"
    box, components = known
    sizes = components.sizes[components.labels == IMPLANT]
    least, most = implant_ml
    volume_ml = sizes.sum() * grid.spacing_mm**3 / 1000
    if volume_ml < least:
        return "implant too small"
    if volume_ml > most:
        return "implant too large"
    count = np.count_nonzero(sizes >= SPECK_FRACTION * sizes.max())
    if count > intended:
        return "implant in several pieces" if intended == 1 else "implant in too many pieces"
    if count < intended:
        return "implants not apart"
    if not (components.labels == BONE).any() and bounding_box(labels, BONE) is None:
        return "no bone remaining"
    if cut_off(labels[box], components).any():
        return "bone cut off"
    return None
