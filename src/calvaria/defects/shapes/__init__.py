"""Shapes of defects: parameters in world millimetres and signed distances.

A shape has

    bounds_mm() -> (Vector, Vector)                 minimum and maximum (x, y, z) of the shape
    distance_mm(x, y, z, up_to_mm) -> (n,) float64  of (n,) float64 world positions in mm, negative inside

A distance above ``up_to_mm`` may be any value above it, and a negative distance any negative value, so that
a shape can skip exact computation.

The voxel fields use + - * / sqrt, comparisons, min and max on float64 only: IEEE 754 rounds these the
same everywhere, which keeps cases bit-identical on any machine.
"""

from calvaria.defects.shapes.craniotomy import Craniotomy
from calvaria.defects.shapes.ellipsoid import Ellipsoid
from calvaria.defects.shapes.rounded_box import RoundedBox
from calvaria.defects.shapes.spheres import Sphere, Spheres

Shape = Spheres | RoundedBox | Ellipsoid | Craniotomy

__all__ = ["Craniotomy", "Ellipsoid", "RoundedBox", "Shape", "Sphere", "Spheres"]
