"""A cuboid, or a cube, on the outer surface: a box without rounded corners and burr holes."""

import numpy as np

from calvaria.config import CuboidRecipe
from calvaria.defects.recipes.draws import length, turned
from calvaria.defects.recipes.regions import direction
from calvaria.defects.shapes import RoundedBox
from calvaria.defects.surface import Surface
from calvaria.skull.vault import rounded, tangents


def draw(rng: np.random.Generator, surface: Surface, recipe: CuboidRecipe) -> RoundedBox:
    """A cuboid, centred on the outer surface, one of whose axes points out of the head."""
    middle = surface.cast(*direction(rng, recipe.region, recipe.azimuth_deg, recipe.elevation_deg))
    short = length(rng, recipe.edge_mm)
    long = short * rng.uniform(*recipe.elongation)
    return RoundedBox(
        centre_mm=rounded(*middle.point_mm),
        lateral=rounded(*turned(rng, *tangents(middle.direction))),
        axis=rounded(*middle.direction),
        half_mm=rounded(long / 2, short / 2, short / 2),
        corner_radius_mm=0.0,
        burr_radius_mm=0.0,
    )
