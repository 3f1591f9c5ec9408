"""A bone flap as surgeons cut it: burr holes around a centre, joined by saw cuts."""

import math
from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from calvaria.defects.outer_surface import OuterSurface
from calvaria.defects.recipes.base import PlacedRecipe, Span
from calvaria.defects.recipes.draws import length, normal
from calvaria.defects.shapes import Craniotomy
from calvaria.plugins.section import Normal
from calvaria.skull.vault import Vector, cross, rounded, tangents, unit

PIECES = 3  # straight edges that make up a curved saw line
FURTHEST = 0.95  # radians from the flap's centre to a burr hole
ABOVE_MM, BELOW_MM = 12.0, 25.0  # margins of the cut above and below the flap's outer surface

Point = tuple[float, float]


class CraniotomyRecipe(PlacedRecipe):
    """A bone flap between burr holes that are joined by saw lines, with a bevel."""

    kind: Literal["craniotomy"]
    """Selects this recipe: a bone flap."""
    diameter_mm: Normal = Normal(mean=90, sd=18)
    """Mean diameter of the flap along the surface."""
    elongation: Span = (1.0, 1.4)
    """Range of its length over its width."""
    holes: tuple[int, int] = (4, 7)
    """Least and most burr holes; 3 or more."""
    hole_radius_mm: Normal = Normal(mean=6.5, sd=0.8)
    """Radius of the burr holes."""
    curvature: Span = (0.0, 0.12)
    """Range of the outward bow of a saw line, relative to its length; 0 for straight lines."""
    bevel_deg: Normal = Normal(mean=20, sd=7)
    """Angle of the cut to the normal; the flap is smaller inside than outside; clipped to 0 to 60."""

    @model_validator(mode="after")
    def _holes(self) -> Self:
        if self.holes[0] < 3:
            raise ValueError(f"holes must be 3 or more, got {list(self.holes)}")
        return self

    def draw_shape(self, rng: np.random.Generator, surface: OuterSurface) -> Craniotomy:
        """Return a flap around a ray from the vault's centre."""
        middle = surface.cast(*self.direction(rng))
        pole = rounded(*middle.direction)
        right = rounded(*tangents(pole)[0])
        radius = round(middle.distance_mm, 4)
        holes = _holes(rng, self, radius)
        outline = [
            point
            for a, b in zip(holes, holes[1:] + holes[:1], strict=True)
            for point in _saw(rng, self, a, b)
        ]
        hole_radius = length(rng, self.hole_radius_mm)
        bevel = math.tan(math.radians(min(max(normal(rng, self.bevel_deg), 0.0), 60.0)))
        sides = zip(holes, holes[1:] + holes[:1], strict=True)
        samples = [(0.0, 0.0), *holes, *(((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in sides)]
        distances = [_distance(surface, pole, right, radius, point) for point in samples]
        return Craniotomy(
            apex_mm=surface.vault.centre_mm,
            pole=pole,
            right=right,
            radius_mm=radius,
            outline_mm=tuple(outline),
            holes_mm=tuple(holes),
            hole_radius_mm=hole_radius,
            bevel=round(bevel, 4),
            surface_mm=_fit([(u / radius, v / radius) for u, v in samples], distances),
            reach_mm=(
                round(max(0.0, min(distances) - BELOW_MM), 4),
                round(max(distances) + ABOVE_MM, 4),
            ),
        )


def _holes(rng: np.random.Generator, recipe: CraniotomyRecipe, radius: float) -> list[Point]:
    """Draw burr holes around the centre of the chart, at about equal angles from each other."""
    least, most = recipe.holes
    count = int(rng.integers(least, most + 1))
    stretch = math.sqrt(rng.uniform(*recipe.elongation))
    half = length(rng, recipe.diameter_mm) / 2
    first, turn = (rng.uniform(0, 2 * math.pi) for _ in range(2))
    holes = []
    for number in range(count):
        angle = first + 2 * math.pi * (number + rng.uniform(-0.2, 0.2)) / count
        away = half * rng.uniform(0.9, 1.1)
        a, b = away * stretch * math.cos(angle), away / stretch * math.sin(angle)
        u, v = a * math.cos(turn) - b * math.sin(turn), a * math.sin(turn) + b * math.cos(turn)
        # Convert a length along the surface to one on the chart.
        along = math.hypot(u, v) / radius
        scale = math.tan(min(along, FURTHEST)) / along
        holes.append((round(u * scale, 4), round(v * scale, 4)))
    return holes


def _saw(rng: np.random.Generator, recipe: CraniotomyRecipe, a: Point, b: Point) -> list[Point]:
    """Draw a saw line from one hole up to, but excluding, the next: a parabola that bows outwards."""
    bow = rng.uniform(*recipe.curvature)
    if bow == 0:
        return [a]
    du, dv = b[0] - a[0], b[1] - a[1]
    points = []
    for piece in range(PIECES):
        t = piece / PIECES
        rise = bow * 4 * t * (1 - t)  # to the right of the path, as the holes are counter-clockwise
        points.append((round(a[0] + t * du + rise * dv, 4), round(a[1] + t * dv - rise * du, 4)))
    return points


def _distance(surface: OuterSurface, pole: Vector, right: Vector, radius: float, point: Point) -> float:
    """Return the distance of the outer surface from the vault's centre at a position of the chart."""
    up = cross(pole, right)
    u, v = point[0] / radius, point[1] / radius
    x, y, z = (w + u * r + v * t for w, r, t in zip(pole, right, up, strict=True))
    return surface.cast(*rounded(*unit(x, y, z))).distance_mm


def _fit(places: list[Point], distances: list[float]) -> tuple[float, float, float, float, float, float]:
    """Fit a polynomial of degree two to the surface's distances by least squares; rounded for storage."""
    terms = np.array([(1.0, s, t, s * s, s * t, t * t) for s, t in places])
    a, b, c, d, e, f = np.linalg.lstsq(terms, np.array(distances), rcond=None)[0]
    return tuple(round(float(value), 4) for value in (a, b, c, d, e, f))  # type: ignore[return-value]
