"""Implicit modelling in exact arithmetic: signed distances to simple solids, and their smooth blends.

A distance is negative inside a solid. Only + - * / sqrt, floor, comparisons and min/max on float64 are used,
elementwise: IEEE 754 rounds each of them exactly, so results are bit-identical on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float64]  # one value per point
Vector = tuple[float, float, float]

# Beyond any blend's width a part cannot affect the surface, so its distance is only a lower bound there.
FAR = 40.0


@dataclass(frozen=True)
class Points:
    """Positions in the head's frame, one array per axis, all of one shape, and their bounding box."""

    x: Field
    y: Field
    z: Field
    low: Vector
    high: Vector

    @classmethod
    def of(cls, x: Field, y: Field, z: Field) -> Points:
        """Return points with their bounding box."""
        low = (x.min().item(), y.min().item(), z.min().item())
        return cls(x, y, z, low, (x.max().item(), y.max().item(), z.max().item()))

    def mirrored(self) -> Points:
        """Return the same points folded onto the right half, for paired parts."""
        return Points.of(np.abs(self.x), self.y, self.z)

    def gap(self, low: Vector, high: Vector) -> float:
        """Return a lower bound in mm of the distance between these points and a box, 0 where they overlap."""
        gaps = (max(a - d, c - b, 0.0) for a, b, c, d in zip(self.low, self.high, low, high, strict=True))
        return max(gaps)


def smooth_min(a: Field, b: Field, width: float) -> Field:
    """Return the union of two distances with a fillet of the given width (quadratic blend)."""
    overlap = np.maximum(width - np.abs(a - b), 0.0)
    return np.minimum(a, b) - overlap * overlap * (0.25 / width)


def smooth_max(a: Field, b: Field, width: float) -> Field:
    """Return the intersection of two distances with a fillet of the given width."""
    return -smooth_min(-a, -b, width)


def smooth_step(value: Field, low: float, high: float) -> Field:
    """Return 0 below `low`, 1 above `high`, and a cubic between."""
    t = np.minimum(np.maximum((value - low) * (1.0 / (high - low)), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def wave(value: Field) -> Field:
    """Return an approximate sine of period 1 and amplitude 1, from parabolas."""
    w = 2.0 * (value - np.floor(value + 0.5))
    return 4.0 * w * (1.0 - np.abs(w))


def box_gap(p: Points, start: Vector, end: Vector, reach: Vector) -> float:
    """Return a lower bound of the distance from the points to a part from start to end, `reach` wide."""
    low = (
        min(start[0], end[0]) - reach[0],
        min(start[1], end[1]) - reach[1],
        min(start[2], end[2]) - reach[2],
    )
    high = (
        max(start[0], end[0]) + reach[0],
        max(start[1], end[1]) + reach[1],
        max(start[2], end[2]) + reach[2],
    )
    return p.gap(low, high)


def ellipsoid(p: Points, centre: Vector, radii: Vector, lower: float | None = None) -> Field:
    """Return the approximate distance to an ellipsoid; `lower` replaces the z radius below its centre."""
    reach = (radii[0], radii[1], max(radii[2], lower or 0.0))
    gap = box_gap(p, centre, centre, reach)
    if gap > FAR:
        return np.array(gap)
    u, v, w = p.x - centre[0], p.y - centre[1], p.z - centre[2]
    ix, iy, iz = 1.0 / radii[0], 1.0 / radii[1], 1.0 / radii[2]
    u, v = u * ix, v * iy
    scale = iz if lower is None else np.where(w < 0.0, 1.0 / lower, iz)
    w = w * scale
    level = np.sqrt(u * u + v * v + w * w)
    u, v, w = u * ix, v * iy, w * scale
    slope = np.sqrt(u * u + v * v + w * w)
    return level * (level - 1.0) / np.maximum(slope, 1e-6)


def capsule(
    p: Points, start: Vector, end: Vector, r0: float, r1: float, thin: Vector = (1.0, 1.0, 1.0)
) -> Field:
    """Return the distance to a bar from `start` to `end`.

    Its radii are r0 and r1; `thin` > 1 flattens it along an axis.
    """
    radius = max(r0, r1)
    gap = box_gap(p, start, end, (radius / thin[0], radius / thin[1], radius / thin[2]))
    if gap > FAR:
        return np.array(gap)
    a = [s * t for s, t in zip(start, thin, strict=True)]
    b = [e * t - s for e, t, s in zip(end, thin, a, strict=True)]
    u, v, w = p.x * thin[0] - a[0], p.y * thin[1] - a[1], p.z * thin[2] - a[2]
    inverse = 1.0 / (b[0] * b[0] + b[1] * b[1] + b[2] * b[2])
    t = np.minimum(np.maximum((u * b[0] + v * b[1] + w * b[2]) * inverse, 0.0), 1.0)
    u, v, w = u - t * b[0], v - t * b[1], w - t * b[2]
    return np.sqrt(u * u + v * v + w * w) - (r0 + t * (r1 - r0))


def bar(p: Points, joints: Sequence[tuple[Vector, float]], thin: Vector = (1.0, 1.0, 1.0)) -> Field:
    """Return the distance to a chain of capsules through (position, radius) joints."""
    out = capsule(p, joints[0][0], joints[1][0], joints[0][1], joints[1][1], thin)
    for (a, ra), (b, rb) in pairwise(joints[1:]):
        out = np.minimum(out, capsule(p, a, b, ra, rb, thin))
    return out


def bump(p: Points, centre: Vector, radii: Vector) -> Field:
    """Return a smooth kernel: 1 at the centre, 0 outside the ellipsoid of the given radii."""
    u = (p.x - centre[0]) * (1.0 / radii[0])
    v = (p.y - centre[1]) * (1.0 / radii[1])
    w = (p.z - centre[2]) * (1.0 / radii[2])
    inside = np.maximum(1.0 - (u * u + v * v + w * w), 0.0)
    return inside * inside
