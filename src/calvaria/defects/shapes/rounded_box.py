"""A box with rounded corners, cut like the flap of a craniotomy."""

from typing import Literal

import numpy as np
from pydantic import Field

from calvaria.skull.vault import Frozen, Vector

CORNER = 0.29289321881345254  # 1 - sqrt(1/2)


class RoundedBox(Frozen):
    """A prism with rounded corners and, optionally, burr holes at two of them.

    A SkullFix box is extruded along the head's vertical, from a horizontal lower edge to a frontal upper
    one. Any other box is a prism along the outward normal that ends 45 mm below the surface. In both cases
    the cut is bounded by the vault's inner ellipsoid and floor.
    """

    kind: Literal["rounded_box"] = "rounded_box"
    centre_mm: Vector
    """World position of the box's centre."""
    lateral: Vector
    """Direction of the box's width; of unit length to 1e-4."""
    axis: Vector
    """Direction along which the box is extruded, orthogonal to ``lateral``, out of the head."""
    half_mm: Vector
    """Half the edge lengths along lateral, axis x lateral, axis."""
    corner_radius_mm: float = Field(ge=0)
    """Radius of the edges along the axis."""
    burr_radius_mm: float = Field(ge=0)
    """Radius of the holes at the corners on the side of axis x lateral; 0 for none."""

    def _frame(self) -> tuple[Vector, Vector, Vector]:
        (ux, uy, uz), (wx, wy, wz) = self.lateral, self.axis
        return self.lateral, (wy * uz - wz * uy, wz * ux - wx * uz, wx * uy - wy * ux), self.axis

    def bounds_mm(self) -> tuple[Vector, Vector]:
        """Return the minimum and maximum (x, y, z) of the shape."""
        half = (self.half_mm[0] + self.burr_radius_mm, self.half_mm[1] + self.burr_radius_mm, self.half_mm[2])
        # The stored directions are off by up to 1e-4: a margin of 0.1 mm covers boxes of any head.
        reach = [sum(abs(d[i]) * h for d, h in zip(self._frame(), half, strict=True)) + 0.1 for i in range(3)]
        x, y, z = self.centre_mm
        return (x - reach[0], y - reach[1], z - reach[2]), (x + reach[0], y + reach[1], z + reach[2])

    def distance_mm(
        self, x: np.ndarray, y: np.ndarray, z: np.ndarray, up_to_mm: float = np.inf
    ) -> np.ndarray:
        """Return (n,) signed distance, negative inside, of world positions in mm, (n,) float64 each.

        Outside near the end faces it is a lower bound; the sign is exact.
        """
        dx, dy, dz = (p - c for p, c in zip((x, y, z), self.centre_mm, strict=True))
        u, v, w = (dx * d[0] + dy * d[1] + dz * d[2] for d in self._frame())
        hu, hv, hw = self.half_mm
        r = min(self.corner_radius_mm, hu, hv)
        qu, qv = np.abs(u) - (hu - r), np.abs(v) - (hv - r)
        ou, ov = np.maximum(qu, 0.0), np.maximum(qv, 0.0)
        outline = np.sqrt(ou * ou + ov * ov) + np.minimum(np.maximum(qu, qv), 0.0) - r
        if self.burr_radius_mm > 0:
            # The hole's centre is on the rounded corner, where its bisector meets the arc.
            bu, bv = np.abs(u) - (hu - r * CORNER), v - (hv - r * CORNER)
            outline = np.minimum(outline, np.sqrt(bu * bu + bv * bv) - self.burr_radius_mm)
        return np.asarray(np.maximum(outline, np.abs(w) - hw))
