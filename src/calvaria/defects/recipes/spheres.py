"""The recipe of the SkullBreak authors (Kodym et al. 2021, Data in Brief 35:106902)."""

import math

import numpy as np

from calvaria.config import SpheresRecipe
from calvaria.defects.recipes.draws import length
from calvaria.defects.recipes.regions import direction
from calvaria.defects.shapes import Sphere, Spheres
from calvaria.defects.surface import Surface
from calvaria.skull.vault import rounded, tangents


def draw(rng: np.random.Generator, surface: Surface, recipe: SpheresRecipe) -> Spheres:
    """A primary sphere on the outer surface, and secondary ones around it."""
    place = direction(rng, recipe.region, recipe.azimuth_deg, recipe.elevation_deg)
    primary = surface.cast(*place)
    radius = length(rng, recipe.primary_radius_mm)
    spheres = [Sphere(centre_mm=rounded(*primary.point_mm), radius_mm=radius)]
    right, up = tangents(primary.direction)
    least, most = recipe.secondary_count
    for _ in range(int(rng.integers(least, most + 1))):
        turn = rng.uniform(0, 2 * math.pi)
        away = radius * rng.uniform(0.6, 1.1)
        offset = [away * (math.cos(turn) * r + math.sin(turn) * u) for r, u in zip(right, up, strict=True)]
        target = (
            p + o - c for p, o, c in zip(primary.point_mm, offset, surface.vault.centre_mm, strict=True)
        )
        centre = surface.cast(*rounded(*target)).point_mm
        secondary = length(rng, recipe.secondary_radius_mm)
        spheres.append(Sphere(centre_mm=rounded(*centre), radius_mm=secondary))
    return Spheres(
        spheres=tuple(spheres),
        blend_mm=recipe.blend_mm,
        roughness_mm=recipe.roughness_mm,
        noise_seed=int(rng.integers(2**53)),
    )
