"""A cuboid, or a cube, on the outer surface: a box without rounded corners or burr holes."""

from typing import Literal

import numpy as np

from calvaria.defects.outer_surface import OuterSurface
from calvaria.defects.recipes.base import PlacedRecipe, Span
from calvaria.defects.recipes.draws import length, turned
from calvaria.defects.shapes import RoundedBox
from calvaria.plugins.section import Normal
from calvaria.skull.vault import rounded, tangents


class CuboidRecipe(PlacedRecipe):
    """A cuboid cut along the outward normal, turned at random; a cube if ``elongation`` is [1, 1]."""

    kind: Literal["cuboid"]
    """Selects this recipe: a cuboid, or a cube."""
    edge_mm: Normal = Normal(mean=55, sd=12)
    """Shorter edge along the surface, and the edge into the head; half of that is below the surface."""
    elongation: Span = (1.0, 1.6)
    """Range of the longer edge along the surface, over the shorter one."""

    def draw_shape(self, rng: np.random.Generator, surface: OuterSurface) -> RoundedBox:
        """Return a cuboid, centred on the outer surface, one of whose axes points out of the head."""
        middle = surface.cast(*self.direction(rng))
        short = length(rng, self.edge_mm)
        long = short * rng.uniform(*self.elongation)
        return RoundedBox(
            centre_mm=rounded(*middle.point_mm),
            lateral=rounded(*turned(rng, *tangents(middle.direction))),
            axis=rounded(*middle.direction),
            half_mm=rounded(long / 2, short / 2, short / 2),
            corner_radius_mm=0.0,
            burr_radius_mm=0.0,
        )
