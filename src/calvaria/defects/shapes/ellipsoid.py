"""An ellipsoid; with three equal semi-axes, a sphere."""

from typing import Literal

import numpy as np

from calvaria.skull.vault import Frozen, Vector, cross


class Ellipsoid(Frozen):
    """An ellipsoid with its own axes."""

    kind: Literal["ellipsoid"] = "ellipsoid"
    centre_mm: Vector
    """World position of the centre."""
    first: Vector
    """Direction of the first axis; of unit length to 1e-4."""
    third: Vector
    """Direction of the third axis, orthogonal to the first; the second is third x first."""
    semi_axes_mm: Vector
    """Half the lengths along first, second and third axis, all positive."""

    def _frame(self) -> tuple[Vector, Vector, Vector]:
        return self.first, cross(self.third, self.first), self.third

    def bounds_mm(self) -> tuple[Vector, Vector]:
        """Return the minimum and maximum (x, y, z) of the shape."""
        # Half the box around an ellipsoid; stored directions are off by up to 1e-4, hence the margin.
        axes = list(zip(self._frame(), self.semi_axes_mm, strict=True))
        half = [float(np.sqrt(sum((d[i] * a) * (d[i] * a) for d, a in axes))) + 0.1 for i in range(3)]
        x, y, z = self.centre_mm
        return (x - half[0], y - half[1], z - half[2]), (x + half[0], y + half[1], z + half[2])

    def distance_mm(
        self, x: np.ndarray, y: np.ndarray, z: np.ndarray, up_to_mm: float = np.inf
    ) -> np.ndarray:
        """Return (n,) distance, negative inside, of world positions in mm, (n,) float64 each.

        The sign is exact; the magnitude is a first-order approximation at the boundary (Quilez 2008).
        """
        dx, dy, dz = (p - c for p, c in zip((x, y, z), self.centre_mm, strict=True))
        u, v, w = (
            (dx * d[0] + dy * d[1] + dz * d[2]) / a
            for d, a in zip(self._frame(), self.semi_axes_mm, strict=True)
        )
        a, b, c = self.semi_axes_mm
        level = np.sqrt(u * u + v * v + w * w)
        slope = np.sqrt((u / a) * (u / a) + (v / b) * (v / b) + (w / c) * (w / c))
        # At the centre both vanish and the quotient is undefined; any negative number is valid there.
        return np.asarray(level * (level - 1.0) / np.maximum(slope, 1e-9) - 1e-9 * (level == 0))
