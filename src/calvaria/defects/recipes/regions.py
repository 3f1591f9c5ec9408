"""Regions of the vault: directions of defects, and a check that a case lies in its region."""

import math
from typing import NamedTuple

import numpy as np

from calvaria.geometry.grid import IMPLANT, Grid
from calvaria.skull.vault import ORBITAL_FLOOR_FRONT, Vault, Vector, rounded

LEAST_SHARE = 0.15  # minimum share of a bilateral implant on its smaller side
MOST_SHARE = 0.15  # maximum share of a parietotemporal implant beyond the midline
BROW_SHARE = 0.08  # minimum share of a frontoorbital implant below the floor of other defects


class Region(NamedTuple):
    """Angles of the defect's centre in degrees; either side of the head if it is ``mirrored``."""

    azimuth: tuple[float, float]
    elevation: tuple[float, float]
    mirrored: bool


# SkullBreak's classes (Kodym et al. 2021, Data in Brief 35:106902), interpreted by their names.
REGIONS = {
    "bilateral": Region((75, 105), (25, 90), False),
    "frontoorbital": Region((50, 85), (-5, 12), True),
    "parietotemporal": Region((-50, 20), (8, 40), True),
}


def on_floor(region: str, vault: Vault) -> Vault:
    """Return the vault that defects of a region are cut from: with the brow if the region includes it."""
    if region == "frontoorbital":
        return vault.model_copy(update={"floor_front": ORBITAL_FLOOR_FRONT})
    return vault


def direction(
    rng: np.random.Generator,
    region: str,
    azimuth_deg: tuple[float, float],
    elevation_deg: tuple[float, float],
) -> Vector:
    """Draw a direction, uniform in solid angle, in a region or, for "anywhere", between these angles."""
    place = REGIONS.get(region, Region(azimuth_deg, elevation_deg, False))
    # Uniform in the sine of the elevation.
    low, high = (math.sin(math.radians(angle)) for angle in place.elevation)
    height = rng.uniform(low, high)
    azimuth = math.radians(rng.uniform(*place.azimuth))
    side = -1 if place.mirrored and rng.random() < 0.5 else 1
    flat = math.sqrt(1 - height * height)
    return rounded(side * flat * math.cos(azimuth), flat * math.sin(azimuth), height)


def misplaced(labels: np.ndarray, grid: Grid, vault: Vault, region: str) -> str | None:
    """Return the reason why a case is outside its region, or None.

    Args:
        labels: (x, y, z) uint8 labels with an implant.
    """
    from calvaria.geometry.components import bounding_box

    if region == "anywhere":
        return None
    box = bounding_box(labels, IMPLANT)
    assert box is not None
    x, y, z = (
        grid.centres(axis)[box[axis]][index] for axis, index in enumerate(np.nonzero(labels[box] == IMPLANT))
    )
    right = np.count_nonzero(x > vault.centre_mm[0]) / x.size
    smaller = min(right, 1 - right)
    if region == "bilateral" and smaller < LEAST_SHARE:
        return "implant not across the midline"
    if region == "parietotemporal" and smaller > MOST_SHARE:
        return "implant not on one side"
    usual = vault.model_copy(update={"floor_front": type(vault).model_fields["floor_front"].default})
    if region == "frontoorbital" and 1 - usual.contains(x, y, z).mean() < BROW_SHARE:
        return "implant without brow"
    return None
