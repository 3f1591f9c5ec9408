"""The parameters of defects and their signed distances; frozen, JSON-able, in world millimetres.

A defect knows the vault it was placed on, so that skull, grid and defect are all that a case needs.
The voxel fields use + - * / sqrt, comparisons, min and max on float64 only: IEEE 754 rounds these the
same everywhere, which keeps cases bit-identical on any machine.
"""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter

from calvaria.defects.noise import value_noise
from calvaria.defects.vault import Frozen, Vault, Vector

CORNER = 0.29289321881345254  # 1 - sqrt(1/2)
NOISE_CELL_MM = 16.0  # the second octave has half the cell and half the amplitude


class Sphere(Frozen):
    """One sphere."""

    centre_mm: Vector
    radius_mm: float = Field(gt=0)


class Spheres(Frozen):
    """Smooth union of spheres with a noisy boundary."""

    kind: Literal["spheres"] = "spheres"
    vault: Vault
    spheres: tuple[Sphere, ...] = Field(min_length=1)
    """The primary sphere first."""
    blend_mm: float = Field(ge=0)
    """Width over which the spheres melt into each other."""
    roughness_mm: float = Field(ge=0)
    """Largest displacement of the boundary."""
    noise_seed: int = Field(ge=0, lt=2**63)
    """Which noise displaces it."""

    def bounds_mm(self) -> tuple[Vector, Vector]:
        """Least and greatest (x, y, z) that the defect can reach."""
        # Each further sphere can push the blended surface out by a quarter of the blend.
        grow = self.roughness_mm + self.blend_mm / 4 * (len(self.spheres) - 1)
        low = [min(s.centre_mm[i] - s.radius_mm for s in self.spheres) - grow for i in range(3)]
        high = [max(s.centre_mm[i] + s.radius_mm for s in self.spheres) + grow for i in range(3)]
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def distance_mm(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(n,) distance, negative inside, of world positions in mm, (n,) float64 each.

        It is good near the boundary; elsewhere the sign is right, and the noise is left out.
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


class RoundedBox(Frozen):
    """A prism with rounded corners, and burr holes on two of them if it has any.

    A SkullFix box is extruded along the head's vertical, from a horizontal lower edge to a frontal upper
    one. Any other is a prism along the outward normal that ends 45 mm below the surface. Either way the
    vault's inner ellipsoid and floor bound it.
    """

    kind: Literal["rounded_box"] = "rounded_box"
    vault: Vault
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
        """Least and greatest (x, y, z) that the defect can reach."""
        half = (self.half_mm[0] + self.burr_radius_mm, self.half_mm[1] + self.burr_radius_mm, self.half_mm[2])
        # The stored directions are off by up to 1e-4: a margin of 0.1 mm covers boxes of any head.
        reach = [sum(abs(d[i]) * h for d, h in zip(self._frame(), half, strict=True)) + 0.1 for i in range(3)]
        x, y, z = self.centre_mm
        return (x - reach[0], y - reach[1], z - reach[2]), (x + reach[0], y + reach[1], z + reach[2])

    def distance_mm(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(n,) signed distance, negative inside, of world positions in mm, (n,) float64 each.

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


def _smooth_minimum(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Quadratic smooth minimum (Quilez 2013): fillets the concave seams of a union."""
    if width <= 0:
        return np.asarray(np.minimum(a, b))
    h = np.maximum(width - np.abs(a - b), 0.0) / width
    return np.asarray(np.minimum(a, b) - h * h * (width / 4))


Defect = Spheres | RoundedBox

_ADAPTER: TypeAdapter[Defect] = TypeAdapter(Annotated[Defect, Field(discriminator="kind")])


def to_json(defect: Defect) -> dict[str, Any]:
    """The defect as a JSON object; ``from_json`` gives an equal one back."""
    return defect.model_dump(mode="json")


def from_json(content: dict[str, Any]) -> Defect:
    """The defect of a JSON object.

    Raises:
        pydantic.ValidationError: if it is not one.
    """
    return _ADAPTER.validate_python(content)
