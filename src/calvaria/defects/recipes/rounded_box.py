"""The box of SkullFix (Li et al. 2021, AutoImplant)."""

import math
from typing import Literal

import numpy as np

from calvaria.defects.outer_surface import OuterSurface, Ray
from calvaria.defects.recipes.base import ShapeRecipe
from calvaria.defects.recipes.draws import LEAST_MM, length, normal
from calvaria.defects.shapes import RoundedBox
from calvaria.plugins.section import Normal
from calvaria.skull.vault import Vector, cross, rounded, tangents, unit

OVERHANG_MM = 40.0  # extent of a box beyond the surface, so that it cuts all of the bone
DEPTH_MM = 45.0  # extent of a box along the normal below the outermost point of the surface


class RoundedBoxRecipe(ShapeRecipe):
    """A box with rounded corners cut through the vault (the SkullFix recipe)."""

    kind: Literal["rounded_box"]
    """Selects this recipe: a box with rounded corners."""
    axis: Literal["vertical", "normal"] = "vertical"
    """Direction of the cut: the head's vertical, as in SkullFix, or the outward normal, at any position."""
    width_mm: Normal = Normal(mean=80, sd=6.5)
    """Horizontal edge length of the box."""
    length_mm: Normal = Normal(mean=76, sd=7)
    """Distance between the upper and the lower edge of the cut, straight through the head."""
    corner_radius_mm: Normal = Normal(mean=3, sd=1)
    """Radius of the box's corners; 0 for sharp ones."""
    burr_radius_mm: Normal = Normal(mean=5.5, sd=0.7)
    """Radius of the round holes at the two upper corners; 0 for none."""
    azimuth_deg: Normal = Normal(mean=-92, sd=6)
    """Direction of the defect's centre around the head: 0 right, 90 front, -90 back."""
    elevation_deg: Normal = Normal(mean=38, sd=8)
    """Elevation of the defect's centre above the horizontal plane through the vault's centre."""

    def draw_shape(self, rng: np.random.Generator, surface: OuterSurface) -> RoundedBox:
        """Return a box whose upper and lower edges are located by separate rays."""
        elevation = math.radians(min(normal(rng, self.elevation_deg), 89.0))
        azimuth = math.radians(normal(rng, self.azimuth_deg))
        width, height = length(rng, self.width_mm), length(rng, self.length_mm)
        flat = math.cos(elevation)
        direction = rounded(flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation))
        middle = surface.cast(*direction)
        right, up = tangents(middle.direction)
        upper, lower = (_edge(surface, middle, up, sign * height / 2) for sign in (1, -1))
        lateral = rounded(*right)
        axis: Vector = (0.0, 0.0, 1.0) if self.axis == "vertical" else _normal_at(middle, upper, lower, right)
        axis = rounded(*axis)
        inward = cross(axis, lateral)

        def along(direction: Vector, point: Vector) -> float:
            return sum(d * (p - m) for d, p, m in zip(direction, point, middle.point_mm, strict=True))

        front, back = along(inward, upper), along(inward, lower)
        if self.axis == "vertical":
            back, bottom = back - OVERHANG_MM, along(axis, lower)
        else:
            bottom = -DEPTH_MM
        top = max(0.0, along(axis, upper)) + OVERHANG_MM
        shift = [(front + back) / 2 * v + (top + bottom) / 2 * w for v, w in zip(inward, axis, strict=True)]
        return RoundedBox(
            centre_mm=rounded(*(p + s for p, s in zip(middle.point_mm, shift, strict=True))),
            lateral=lateral,
            axis=axis,
            half_mm=rounded(width / 2, max(LEAST_MM, front - back) / 2, max(LEAST_MM, top - bottom) / 2),
            corner_radius_mm=max(0.0, round(normal(rng, self.corner_radius_mm), 4)),
            burr_radius_mm=max(0.0, round(normal(rng, self.burr_radius_mm), 4)),
        )


def _edge(surface: OuterSurface, middle: Ray, tangent: Vector, offset_mm: float) -> Vector:
    """Return the surface point about ``offset_mm`` from the middle, as on a sphere of the same radius."""
    sine = min(max(offset_mm / middle.distance_mm, -0.95), 0.95)
    cosine = math.sqrt(1 - sine * sine)
    target = (cosine * d + sine * t for d, t in zip(middle.direction, tangent, strict=True))
    return surface.cast(*rounded(*target)).point_mm


def _normal_at(middle: Ray, upper: Vector, lower: Vector, right: Vector) -> Vector:
    """Return the outward direction orthogonal to ``right`` and to the chord from lower to upper."""
    return unit(*cross(right, unit(*(a - b for a, b in zip(upper, lower, strict=True)))))
