"""Random numbers of recipes, rounded so that they can be stored."""

import math

import numpy as np

from calvaria.plugins.section import Normal
from calvaria.skull.vault import Vector

LEAST_MM = 2.0  # minimum of drawn lengths


def normal(rng: np.random.Generator, distribution: Normal) -> float:
    """Return a draw from a normal distribution truncated at three standard deviations."""
    draw = rng.standard_normal()
    while abs(draw) > 3:
        draw = rng.standard_normal()
    return float(distribution.mean + distribution.sd * draw)


def length(rng: np.random.Generator, distribution: Normal) -> float:
    """Return a length in mm, to 1e-4, at least ``LEAST_MM``."""
    return max(LEAST_MM, round(normal(rng, distribution), 4))


def turned(rng: np.random.Generator, right: Vector, up: Vector) -> Vector:
    """Return a direction drawn uniformly in the plane of two orthogonal unit vectors."""
    turn = rng.uniform(0, 2 * math.pi)
    x, y, z = (math.cos(turn) * r + math.sin(turn) * u for r, u in zip(right, up, strict=True))
    return x, y, z
