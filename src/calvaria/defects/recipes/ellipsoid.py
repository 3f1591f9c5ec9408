"""An ellipsoid, or a sphere, on the outer surface."""

import numpy as np

from calvaria.config import EllipsoidRecipe
from calvaria.defects.recipes.draws import length, turned
from calvaria.defects.recipes.regions import direction
from calvaria.defects.shapes import Ellipsoid
from calvaria.defects.surface import Surface
from calvaria.skull.vault import rounded, tangents


def draw(rng: np.random.Generator, surface: Surface, recipe: EllipsoidRecipe) -> Ellipsoid:
    """An ellipsoid whose third axis points out of the head."""
    middle = surface.cast(*direction(rng, recipe.region, recipe.azimuth_deg, recipe.elevation_deg))
    short = length(rng, recipe.radius_mm)
    long = round(short * rng.uniform(*recipe.elongation), 4)
    return Ellipsoid(
        centre_mm=rounded(*middle.point_mm),
        first=rounded(*turned(rng, *tangents(middle.direction))),
        third=rounded(*middle.direction),
        semi_axes_mm=(long, short, short),
    )
