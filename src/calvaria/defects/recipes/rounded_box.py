"""The box of SkullFix (Li et al. 2021, AutoImplant)."""

import math

import numpy as np

from calvaria.config import RoundedBoxRecipe
from calvaria.defects.recipes.draws import LEAST_MM, length, normal
from calvaria.defects.shapes import RoundedBox
from calvaria.defects.surface import Ray, Surface
from calvaria.skull.vault import Vector, cross, rounded, tangents, unit

OVERHANG_MM = 40.0  # how far a box goes beyond the surface, so that it cuts all of the bone
DEPTH_MM = 45.0  # how far a box along the normal goes below the outermost point of the surface


def draw(rng: np.random.Generator, surface: Surface, recipe: RoundedBoxRecipe) -> RoundedBox:
    """A box whose upper and lower edges are found by rays of their own."""
    elevation = math.radians(min(normal(rng, recipe.elevation_deg), 89.0))
    azimuth = math.radians(normal(rng, recipe.azimuth_deg))
    width, height = length(rng, recipe.width_mm), length(rng, recipe.length_mm)
    flat = math.cos(elevation)
    direction = rounded(flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation))
    middle = surface.cast(*direction)
    right, up = tangents(middle.direction)
    upper, lower = (_edge(surface, middle, up, sign * height / 2) for sign in (1, -1))
    lateral = rounded(*right)
    axis: Vector = (0.0, 0.0, 1.0) if recipe.axis == "vertical" else _normal_at(middle, upper, lower, right)
    axis = rounded(*axis)
    inward = cross(axis, lateral)

    def along(direction: Vector, point: Vector) -> float:
        return sum(d * (p - m) for d, p, m in zip(direction, point, middle.point_mm, strict=True))

    front, back = along(inward, upper), along(inward, lower)
    if recipe.axis == "vertical":
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
        corner_radius_mm=max(0.0, round(normal(rng, recipe.corner_radius_mm), 4)),
        burr_radius_mm=max(0.0, round(normal(rng, recipe.burr_radius_mm), 4)),
    )


def _edge(surface: Surface, middle: Ray, tangent: Vector, offset_mm: float) -> Vector:
    """The surface point about ``offset_mm`` away from the middle, as on a sphere of the same radius."""
    sine = min(max(offset_mm / middle.distance_mm, -0.95), 0.95)
    cosine = math.sqrt(1 - sine * sine)
    target = (cosine * d + sine * t for d, t in zip(middle.direction, tangent, strict=True))
    return surface.cast(*rounded(*target)).point_mm


def _normal_at(middle: Ray, upper: Vector, lower: Vector, right: Vector) -> Vector:
    """The outward direction across the chord from lower to upper, orthogonal to ``right``."""
    return unit(*cross(right, unit(*(a - b for a, b in zip(upper, lower, strict=True)))))
