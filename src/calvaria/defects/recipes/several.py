"""Several defects in one skull, with bone between them."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from calvaria.config.inject import Options
from calvaria.defects.shapes import Shape
from calvaria.defects.surface import Surface

TRIES = 20  # for a place that is far enough from the others; else the case's check refuses it
SAMPLING_MM = 3.0  # spacing at which bone between two shapes is looked at

AnyRecipe = TypeVar("AnyRecipe", bound=Options)


def draw(
    rng: np.random.Generator,
    surface: Surface,
    recipe: AnyRecipe,
    draw_one: Callable[[np.random.Generator, Surface, AnyRecipe], Shape],
) -> tuple[Shape, ...]:
    """Draws as many shapes as the recipe says, each away from those before it."""
    least, most = recipe.count
    count = least if least == most else int(rng.integers(least, most + 1))
    shapes: list[Shape] = []
    for _ in range(count):
        for _ in range(TRIES):
            shape = draw_one(rng, surface, recipe)
            if all(_apart(surface, shape, other, recipe.apart_mm) for other in shapes):
                break
        shapes.append(shape)
    return tuple(shapes)


def _apart(surface: Surface, one: Shape, other: Shape, least_mm: float) -> bool:
    """Whether no bone is within half the least distance of both shapes."""
    boxes = [shape.bounds_mm() for shape in (one, other)]
    axes = []
    for axis in range(3):
        centres = surface.grid.centres(axis)[:: max(1, round(SAMPLING_MM / surface.grid.spacing_mm))]
        low = max(box[0][axis] for box in boxes) - least_mm / 2
        high = min(box[1][axis] for box in boxes) + least_mm / 2
        axes.append(centres[(centres >= low) & (centres <= high)])
    x, y, z = (part.ravel() for part in np.meshgrid(*axes, indexing="ij"))
    on_vault = np.flatnonzero(surface.vault.contains(x, y, z))
    x, y, z = x[on_vault], y[on_vault], z[on_vault]
    near = np.flatnonzero(one.distance_mm(x, y, z) <= least_mm / 2)
    return not (other.distance_mm(x[near], y[near], z[near]) <= least_mm / 2).any()
