"""The recipe of the SkullBreak authors (Kodym et al. 2021, Data in Brief 35:106902)."""

import math
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from calvaria.defects.outer_surface import OuterSurface
from calvaria.defects.recipes.base import PlacedRecipe
from calvaria.defects.recipes.draws import length
from calvaria.defects.shapes import Sphere, Spheres
from calvaria.plugins.section import Normal
from calvaria.skull.vault import rounded, tangents


class SpheresRecipe(PlacedRecipe):
    """Union of a primary and several secondary spheres with a noisy boundary (the SkullBreak recipe)."""

    kind: Literal["spheres"]
    """Selects this recipe: a union of spheres."""
    primary_radius_mm: Normal = Normal(mean=28, sd=8)
    """Radius of the primary sphere."""
    secondary_count: tuple[int, int] = (0, 7)
    """Least and most secondary spheres."""
    secondary_radius_mm: Normal = Normal(mean=16, sd=4)
    """Radius of the secondary spheres."""
    blend_mm: float = Field(6.0, ge=0)
    """Width over which touching spheres are blended."""
    roughness_mm: float = Field(4.0, ge=0)
    """Amplitude of the smooth noise on the boundary."""

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if self.secondary_count[0] < 0:
            raise ValueError(f"secondary_count must not be negative, got {list(self.secondary_count)}")
        return self

    def draw_shape(self, rng: np.random.Generator, surface: OuterSurface) -> Spheres:
        """Return a primary sphere on the outer surface, and secondary ones around it."""
        place = self.direction(rng)
        primary = surface.cast(*place)
        radius = length(rng, self.primary_radius_mm)
        spheres = [Sphere(centre_mm=rounded(*primary.point_mm), radius_mm=radius)]
        right, up = tangents(primary.direction)
        least, most = self.secondary_count
        for _ in range(int(rng.integers(least, most + 1))):
            turn = rng.uniform(0, 2 * math.pi)
            away = radius * rng.uniform(0.6, 1.1)
            offset = [
                away * (math.cos(turn) * r + math.sin(turn) * u) for r, u in zip(right, up, strict=True)
            ]
            target = (
                p + o - c for p, o, c in zip(primary.point_mm, offset, surface.vault.centre_mm, strict=True)
            )
            centre = surface.cast(*rounded(*target)).point_mm
            secondary = length(rng, self.secondary_radius_mm)
            spheres.append(Sphere(centre_mm=rounded(*centre), radius_mm=secondary))
        return Spheres(
            spheres=tuple(spheres),
            blend_mm=self.blend_mm,
            roughness_mm=self.roughness_mm,
            noise_seed=int(rng.integers(2**53)),
        )
