"""The options of every recipe: healed edges and where the scan ends."""

import math

import numpy as np

from calvaria.config import FieldOfView, Healed, Normal
from calvaria.defects.defect import Healing, Plane
from calvaria.defects.recipes.draws import length, normal
from calvaria.skull.vault import Vault, rounded, unit


def healing(rng: np.random.Generator, healed: Healed | None) -> Healing | None:
    """Draws how the bone around a hole has thinned."""
    if healed is None:
        return None
    width = length(rng, healed.width_mm)
    thinning = min(max(round(normal(rng, healed.thinning), 4), 0.0), 1.0)
    outer = rng.random() < 0.5 if healed.side == "either" else healed.side == "outer"
    return Healing(width_mm=width, thinning=thinning, side="outer" if outer else "inner")


def unseen(rng: np.random.Generator, vault: Vault, view: FieldOfView | None) -> tuple[Plane, ...]:
    """Draws the planes at which the scan ends."""
    if view is None:
        return ()
    planes = []
    x, y, z = vault.centre_mm
    if view.bottom_mm is not None:
        planes.append(_plane(rng, (x, y, z - normal(rng, view.bottom_mm)), view.tilt_deg, -1))
    if view.top_mm is not None:
        top = z + vault.semi_axes_mm[2]
        planes.append(_plane(rng, (x, y, top - normal(rng, view.top_mm)), view.tilt_deg, 1))
    return tuple(planes)


def _plane(rng: np.random.Generator, point: tuple[float, float, float], tilt: Normal, up: int) -> Plane:
    """A plane through a point, about horizontal; what lies above it (up = 1) or below (-1) is not seen."""
    sideways, forwards = (math.tan(math.radians(normal(rng, tilt))) for _ in range(2))
    axis = rounded(*unit(up * sideways, up * forwards, up))
    offset = sum(n * p for n, p in zip(axis, point, strict=True))
    return Plane(normal=axis, offset_mm=round(offset, 4))
