"""Draws the parameters of a defect; nothing is cut here.

A recipe places its defect by a ray from the vault's centre to the outer surface of the skull, and sizes
it in millimetres. Directions: azimuth 0 is the patient's right (+x), 90 the front (+y), -90 the back;
elevation 90 is the vertex.
"""

import math

import numpy as np

from calvaria.config import Normal, Recipe, RoundedBoxRecipe, SpheresRecipe
from calvaria.defects.shapes import Defect, RoundedBox, Sphere, Spheres, from_json, to_json
from calvaria.defects.vault import Ray, Vault, Vector, cast, find_vault, rounded, unit
from calvaria.grid import Grid

__all__ = ["Defect", "RoundedBox", "Sphere", "Spheres", "from_json", "sample_defect", "to_json"]

LEAST_MM = 2.0  # no drawn length is smaller
BOX_OVERHANG_MM = 40.0  # how far a box goes beyond the surface, so that it cuts all of the bone
BOX_DEPTH_MM = 45.0  # how far a box along the normal goes below the outermost point of the surface


def sample_defect(rng: np.random.Generator, skull: np.ndarray, grid: Grid, recipe: Recipe) -> Defect:
    """Draws one defect of a recipe for this skull.

    Args:
        rng: the defect's own generator.
        skull: (x, y, z) bool or uint8 complete skull, bone where it is not 0.

    Returns:
        Parameters in world mm, rounded to 1e-4.

    Raises:
        InputError: if the skull has no vault.
    """
    if isinstance(recipe, SpheresRecipe):
        return _spheres(rng, skull, grid, recipe)
    return _rounded_box(rng, skull, grid, recipe)


def _spheres(rng: np.random.Generator, skull: np.ndarray, grid: Grid, recipe: SpheresRecipe) -> Spheres:
    """The recipe of the SkullBreak authors (Kodym et al. 2021, Data in Brief 35:106902)."""
    vault = find_vault(skull, grid)
    # Uniform in the sine of the elevation: every patch of a sphere is equally likely.
    low, high = (math.sin(math.radians(angle)) for angle in recipe.elevation_deg)
    height = rng.uniform(low, high)
    azimuth = math.radians(rng.uniform(*recipe.azimuth_deg))
    flat = math.sqrt(1 - height * height)
    direction = rounded(flat * math.cos(azimuth), flat * math.sin(azimuth), height)
    primary = cast(skull, grid, vault, *direction)
    radius = _length(rng, recipe.primary_radius_mm)
    spheres = [Sphere(centre_mm=rounded(*primary.point_mm), radius_mm=radius)]
    right, up = _tangents(primary.direction)
    least, most = recipe.secondary_count
    for _ in range(int(rng.integers(least, most + 1))):
        turn = rng.uniform(0, 2 * math.pi)
        away = radius * rng.uniform(0.6, 1.1)
        offset = [away * (math.cos(turn) * r + math.sin(turn) * u) for r, u in zip(right, up, strict=True)]
        target = (p + o - c for p, o, c in zip(primary.point_mm, offset, vault.centre_mm, strict=True))
        centre = cast(skull, grid, vault, *rounded(*target)).point_mm
        secondary = _length(rng, recipe.secondary_radius_mm)
        spheres.append(Sphere(centre_mm=rounded(*centre), radius_mm=secondary))
    return Spheres(
        vault=vault,
        spheres=tuple(spheres),
        blend_mm=recipe.blend_mm,
        roughness_mm=recipe.roughness_mm,
        noise_seed=int(rng.integers(2**53)),
    )


def _rounded_box(
    rng: np.random.Generator, skull: np.ndarray, grid: Grid, recipe: RoundedBoxRecipe
) -> RoundedBox:
    """The box of SkullFix (Li et al. 2021, AutoImplant): edges of the cut are found by rays of their own."""
    vault = find_vault(skull, grid)
    elevation = math.radians(min(_normal(rng, recipe.elevation_deg), 89.0))
    azimuth = math.radians(_normal(rng, recipe.azimuth_deg))
    width, length = _length(rng, recipe.width_mm), _length(rng, recipe.length_mm)
    flat = math.cos(elevation)
    direction = rounded(flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation))
    middle = cast(skull, grid, vault, *direction)
    right, up = _tangents(middle.direction)
    upper, lower = (_edge(skull, grid, vault, middle, up, sign * length / 2) for sign in (1, -1))
    lateral = rounded(*right)
    axis: Vector = (0.0, 0.0, 1.0) if recipe.axis == "vertical" else _normal_at(middle, upper, lower, right)
    axis = rounded(*axis)
    inward = _cross(axis, lateral)

    def along(direction: Vector, point: Vector) -> float:
        return sum(d * (p - m) for d, p, m in zip(direction, point, middle.point_mm, strict=True))

    front, back = along(inward, upper), along(inward, lower)
    if recipe.axis == "vertical":
        back, bottom = back - BOX_OVERHANG_MM, along(axis, lower)
    else:
        bottom = -BOX_DEPTH_MM
    top = max(0.0, along(axis, upper)) + BOX_OVERHANG_MM
    shift = [(front + back) / 2 * v + (top + bottom) / 2 * w for v, w in zip(inward, axis, strict=True)]
    return RoundedBox(
        vault=vault,
        centre_mm=rounded(*(p + s for p, s in zip(middle.point_mm, shift, strict=True))),
        lateral=lateral,
        axis=axis,
        half_mm=rounded(width / 2, max(LEAST_MM, front - back) / 2, max(LEAST_MM, top - bottom) / 2),
        corner_radius_mm=max(0.0, round(_normal(rng, recipe.corner_radius_mm), 4)),
        burr_radius_mm=max(0.0, round(_normal(rng, recipe.burr_radius_mm), 4)),
    )


def _edge(
    skull: np.ndarray, grid: Grid, vault: Vault, middle: Ray, tangent: Vector, offset_mm: float
) -> Vector:
    """The surface point about ``offset_mm`` away from the middle, as on a sphere of the same radius."""
    radius = math.sqrt(sum((p - c) * (p - c) for p, c in zip(middle.point_mm, vault.centre_mm, strict=True)))
    sine = min(max(offset_mm / radius, -0.95), 0.95)
    cosine = math.sqrt(1 - sine * sine)
    target = (cosine * d + sine * t for d, t in zip(middle.direction, tangent, strict=True))
    return cast(skull, grid, vault, *rounded(*target)).point_mm


def _normal_at(middle: Ray, upper: Vector, lower: Vector, right: Vector) -> Vector:
    """The outward direction across the chord from lower to upper, orthogonal to ``right``."""
    return unit(*_cross(right, unit(*(a - b for a, b in zip(upper, lower, strict=True)))))


def _tangents(direction: Vector) -> tuple[Vector, Vector]:
    """Two unit vectors orthogonal to a direction: horizontal to its right seen from outside, and upwards."""
    x, y, _ = direction
    right = unit(-y, x, 0.0) if x * x + y * y > 1e-8 else (1.0, 0.0, 0.0)
    return right, _cross(direction, right)


def _cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _normal(rng: np.random.Generator, normal: Normal) -> float:
    """A draw from a normal distribution cut off at three standard deviations."""
    draw = rng.standard_normal()
    while abs(draw) > 3:
        draw = rng.standard_normal()
    return float(normal.mean + normal.sd * draw)


def _length(rng: np.random.Generator, normal: Normal) -> float:
    return max(LEAST_MM, round(_normal(rng, normal), 4))
