"""Options of recipes: healed edges, and the scan's field of view."""

import math
from typing import Literal

import numpy as np

from calvaria.defects.defect import Healing, Plane
from calvaria.defects.recipes.draws import length, normal
from calvaria.plugins.section import Normal, Section
from calvaria.skull.vault import Vault, rounded, unit


class Healed(Section):
    """Thinned bone around the hole; the removed bone belongs to the implant."""

    width_mm: Normal = Normal(mean=12, sd=3)
    """Width of the band of thinned bone."""
    thinning: Normal = Normal(mean=0.6, sd=0.1)
    """Share of the bone's thickness that is removed at the rim; clipped to 0 to 1."""
    side: Literal["outer", "inner", "either"] = "either"
    """Side from which the bone is removed; ``either`` selects one of them at random."""

    def draw(self, rng: np.random.Generator) -> Healing:
        """Draw the thinning of the bone around a hole."""
        width = length(rng, self.width_mm)
        thinning = min(max(round(normal(rng, self.thinning), 4), 0.0), 1.0)
        outer = rng.random() < 0.5 if self.side == "either" else self.side == "outer"
        return Healing(width_mm=width, thinning=thinning, side="outer" if outer else "inner")


class FieldOfView(Section):
    """Crop of the scan: labels beyond it are 0, so labels > 0 is not the complete skull there."""

    bottom_mm: Normal | None = Normal(mean=35, sd=10)
    """Lower end of the scan below the vault's centre; null for no cut."""
    top_mm: Normal | None = None
    """Upper end of the scan below the vertex; null for no cut."""
    tilt_deg: Normal = Normal(mean=0, sd=6)
    """Tilt of the cuts, forwards and sideways."""

    def draw(self, rng: np.random.Generator, vault: Vault) -> tuple[Plane, ...]:
        """Draw the planes that bound the scan."""
        planes = []
        x, y, z = vault.centre_mm
        if self.bottom_mm is not None:
            planes.append(_plane(rng, (x, y, z - normal(rng, self.bottom_mm)), self.tilt_deg, -1))
        if self.top_mm is not None:
            top = z + vault.semi_axes_mm[2]
            planes.append(_plane(rng, (x, y, top - normal(rng, self.top_mm)), self.tilt_deg, 1))
        return tuple(planes)


def _plane(rng: np.random.Generator, point: tuple[float, float, float], tilt: Normal, up: int) -> Plane:
    """Draw a nearly horizontal plane through a point; the scan ends above (up = 1) or below (-1) it."""
    sideways, forwards = (math.tan(math.radians(normal(rng, tilt))) for _ in range(2))
    axis = rounded(*unit(up * sideways, up * forwards, up))
    offset = sum(n * p for n, p in zip(axis, point, strict=True))
    return Plane(normal=axis, offset_mm=round(offset, 4))
