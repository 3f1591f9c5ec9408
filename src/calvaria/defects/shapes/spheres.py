"""Spheres that blend into each other, with a noisy boundary."""

from typing import Literal

import numpy as np
from pydantic import Field

from calvaria.defects.noise import value_noise
from calvaria.skull.vault import Frozen, Vector

NOISE_CELL_MM = 16.0  # the second octave has half the cell and half the amplitude


class Sphere(Frozen):
    """One sphere."""

    centre_mm: Vector
    radius_mm: float = Field(gt=0)


class Spheres(Frozen):
    """Smooth union of spheres with a noisy boundary."""

    kind: Literal["spheres"] = "spheres"
    spheres: tuple[Sphere, ...] = Field(min_length=1)
    """The primary sphere first."""
    blend_mm: float = Field(ge=0)
    """Width over which the spheres are blended."""
    roughness_mm: float = Field(ge=0)
    """Largest displacement of the boundary."""
    noise_seed: int = Field(ge=0, lt=2**63)
    """Seed of the noise that displaces the boundary."""

    def bounds_mm(self) -> tuple[Vector, Vector]:
        """Return the minimum and maximum (x, y, z) of the shape."""
        # Each further sphere can push the blended surface out by a quarter of the blend.
        grow = self.roughness_mm + self.blend_mm / 4 * (len(self.spheres) - 1)
        low = [min(s.centre_mm[i] - s.radius_mm for s in self.spheres) - grow for i in range(3)]
        high = [max(s.centre_mm[i] + s.radius_mm for s in self.spheres) + grow for i in range(3)]
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def distance_mm(
        self, x: np.ndarray, y: np.ndarray, z: np.ndarray, up_to_mm: float = np.inf
    ) -> np.ndarray:
        """Return (n,) distance, negative inside, of world positions in mm, (n,) float64 each.

        It is accurate near the boundary; elsewhere only the sign is correct, and the noise is omitted.
        """
        distance = np.full(x.shape, np.inf)
        for i, sphere in enumerate(self.spheres):
            dx, dy, dz = (p - c for p, c in zip((x, y, z), sphere.centre_mm, strict=True))
            other = np.sqrt(dx * dx + dy * dy + dz * dz) - sphere.radius_mm
            distance = _smooth_minimum(distance, other, self.blend_mm) if i else other
        if self.roughness_mm > 0:
            # Elsewhere the noise cannot change the sign.
            band = np.flatnonzero(np.abs(distance) <= self.roughness_mm)
            at = x[band], y[band], z[band]
            coarse = value_noise(self.noise_seed, NOISE_CELL_MM, *at)
            fine = value_noise(self.noise_seed ^ 1, NOISE_CELL_MM / 2, *at)
            distance[band] += (coarse * 2.0 + fine) * (self.roughness_mm / 3.0)
        return distance


def _smooth_minimum(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Return the quadratic smooth minimum (Quilez 2013), which fillets the concave seams of a union."""
    if width <= 0:
        return np.asarray(np.minimum(a, b))
    h = np.maximum(width - np.abs(a - b), 0.0) / width
    return np.asarray(np.minimum(a, b) - h * h * (width / 4))
