"""An ellipsoid, or a sphere, on the outer surface."""

from typing import Literal

import numpy as np

from calvaria.defects.outer_surface import OuterSurface
from calvaria.defects.recipes.base import PlacedRecipe, Span
from calvaria.defects.recipes.draws import length, turned
from calvaria.defects.shapes import Ellipsoid
from calvaria.plugins.section import Normal
from calvaria.skull.vault import rounded, tangents


class EllipsoidRecipe(PlacedRecipe):
    """An ellipsoid on the outer surface, turned at random; a sphere if ``elongation`` is [1, 1]."""

    kind: Literal["ellipsoid"]
    """Selects this recipe: an ellipsoid, or a sphere."""
    radius_mm: Normal = Normal(mean=32, sd=7)
    """Shorter semi-axis along the surface, and the one into the head."""
    elongation: Span = (1.0, 1.6)
    """Range of the longer semi-axis along the surface, over the shorter one."""

    def draw_shape(self, rng: np.random.Generator, surface: OuterSurface) -> Ellipsoid:
        """Return an ellipsoid whose third axis points out of the head."""
        middle = surface.cast(*self.direction(rng))
        short = length(rng, self.radius_mm)
        long = round(short * rng.uniform(*self.elongation), 4)
        return Ellipsoid(
            centre_mm=rounded(*middle.point_mm),
            first=rounded(*turned(rng, *tangents(middle.direction))),
            third=rounded(*middle.direction),
            semi_axes_mm=(long, short, short),
        )
