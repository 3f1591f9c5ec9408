"""Several defects in one skull, with bone between them."""

from collections.abc import Callable

import numpy as np

from calvaria.defects.outer_surface import OuterSurface
from calvaria.defects.shapes import Shape

TRIES = 20  # attempts to place a shape far enough from the others; if all fail, the case is rejected
SAMPLING_MM = 3.0  # spacing of the points at which the distance of two shapes is checked


def draw(
    rng: np.random.Generator,
    surface: OuterSurface,
    count: tuple[int, int],
    apart_mm: float,
    draw_shape: Callable[[np.random.Generator, OuterSurface], Shape],
) -> tuple[Shape, ...]:
    """Draw several shapes, each apart from the previous ones.

    Args:
        count: minimum and maximum number of shapes.
        apart_mm: minimum bone between two of them.
    """
    least, most = count
    number = least if least == most else int(rng.integers(least, most + 1))
    shapes: list[Shape] = []
    for _ in range(number):
        for _ in range(TRIES):
            shape = draw_shape(rng, surface)
            if all(_apart(surface, shape, other, apart_mm) for other in shapes):
                break
        shapes.append(shape)
    return tuple(shapes)


def _apart(surface: OuterSurface, one: Shape, other: Shape, least_mm: float) -> bool:
    """Return whether no point of the vault is within half the minimum distance of both shapes."""
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
