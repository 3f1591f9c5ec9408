"""A bone flap: burr holes joined by saw lines, cut towards the inside of the head with a bevel.

The outline is drawn on a chart: a plane that touches the outer surface at the flap's centre, onto which the
head is projected from the vault's centre. A straight line on the chart is a cut along a plane through the
vault's centre, so the cut runs along the local normal of a round head.
"""

from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import Field

from calvaria.skull.vault import Frozen, Vector, cross

Point = tuple[float, float]

DEEPEST_MM = 15.0  # depth at which the bevel ends
LEAST_COSINE = 0.25  # positions more than 75 degrees away from the centre are not on the chart
OUTSIDE_MM = 1000.0  # distance of positions that are not on the chart
SQUARES, MARGIN_MM = 64, 10.0  # squares along each edge of the chart; their margin around the corners
HALF_DIAGONAL = 0.7072  # of a square relative to its side, rounded up


class Craniotomy(Frozen):
    """The bone within an outline on the outer surface, and burr holes along that outline."""

    kind: Literal["craniotomy"] = "craniotomy"
    apex_mm: Vector
    """World position from which the head is projected: the vault's centre."""
    pole: Vector
    """Direction from the apex to the flap's centre; of unit length to 1e-4."""
    right: Vector
    """Direction of the chart's first axis, orthogonal to ``pole``; the second is pole x right."""
    radius_mm: float = Field(gt=0)
    """Distance of the chart from the apex."""
    outline_mm: tuple[Point, ...] = Field(min_length=3)
    """Corners of the polygon on the chart, in order; curved saw lines are many short edges."""
    holes_mm: tuple[Point, ...]
    """Centres of the burr holes on the chart."""
    hole_radius_mm: float = Field(ge=0)
    """Radius of the burr holes; 0 for none."""
    bevel: float = Field(ge=0)
    """Shrinkage of the outline per mm below the outer surface."""
    surface_mm: tuple[float, float, float, float, float, float]
    """Outer surface: its distance from the apex, of s = u / radius and t = v / radius on the chart, is the
    sum of these times 1, s, t, s*s, s*t, t*t."""
    reach_mm: Point
    """Least and greatest distance from the apex that is cut."""

    def _frame(self) -> tuple[Vector, Vector, Vector]:
        return self.right, cross(self.pole, self.right), self.pole

    def bounds_mm(self) -> tuple[Vector, Vector]:
        """Return the minimum and maximum (x, y, z) of the shape."""
        # The cut lies between two parallel planes of a pyramid with its tip at the apex.
        sides, steepest = [], 1.0
        for axis in (0, 1):
            along = [p[axis] for p in self.outline_mm]
            holes = [p[axis] + s * self.hole_radius_mm for p in self.holes_mm for s in (-1, 1)]
            ends = (min(along + holes) - 0.1) / self.radius_mm, (max(along + holes) + 0.1) / self.radius_mm
            steepest += max(ends[0] * ends[0], ends[1] * ends[1])
            sides.append(ends)
        near = self.reach_mm[0] * max(LEAST_COSINE, float(1.0 / np.sqrt(steepest)))
        corners = [(w * s, w * t, w) for w in (near, self.reach_mm[1]) for s in sides[0] for t in sides[1]]
        frame = self._frame()
        points = [
            [sum(c * d[i] for c, d in zip(corner, frame, strict=True)) for i in range(3)]
            for corner in corners
        ]
        low = [self.apex_mm[i] + min(p[i] for p in points) - 0.1 for i in range(3)]
        high = [self.apex_mm[i] + max(p[i] for p in points) + 0.1 for i in range(3)]
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def distance_mm(
        self, x: np.ndarray, y: np.ndarray, z: np.ndarray, up_to_mm: float = np.inf
    ) -> np.ndarray:
        """Return (n,) distance, negative inside, of world positions in mm, (n,) float64 each.

        It is measured across the saw lines, so it underestimates the true distance where the chart is
        stretched. Inside, it may be any negative number; above ``up_to_mm``, any number above that.
        """
        dx, dy, dz = (p - c for p, c in zip((x, y, z), self.apex_mm, strict=True))
        a, b, w = (dx * d[0] + dy * d[1] + dz * d[2] for d in self._frame())
        from_apex = np.sqrt(dx * dx + dy * dy + dz * dz)
        least, most = self.reach_mm
        on_chart = (w > LEAST_COSINE * from_apex) & (from_apex >= least) & (from_apex <= most)
        distance = np.full(x.shape, OUTSIDE_MM)
        at = np.flatnonzero(on_chart)
        a, b, w, from_apex = a[at], b[at], w[at], from_apex[at]
        # Most positions are far from the outline, where the distance of their square of the chart suffices.
        s, t, scale = a / w, b / w, w / self.radius_mm
        u, v = s * self.radius_mm, t * self.radius_mm
        middle, half = self._roughly(u, v)
        rough = (middle - half) * scale
        at = np.flatnonzero(rough <= up_to_mm)
        u, v, scale = u[at], v[at], scale[at]
        shrunk = self._shrunk_mm(s[at], t[at], from_apex[at])
        closer = (middle[at] + half) * scale + shrunk
        near = np.flatnonzero(closer >= 0)
        closer[near] = self._outline(u[near], v[near]) * scale[near] + shrunk[near]
        rough[at] = closer
        distance[on_chart] = rough
        return distance

    def _shrunk_mm(self, s: np.ndarray, t: np.ndarray, from_apex_mm: np.ndarray) -> np.ndarray:
        """Return (n,) mm by which the bevel moves the outline inwards at this distance from the apex."""
        k = self.surface_mm
        top = k[0] + k[1] * s + k[2] * t + k[3] * (s * s) + k[4] * (s * t) + k[5] * (t * t)
        return self.bevel * np.minimum(np.maximum(top - from_apex_mm, 0.0), DEEPEST_MM)

    def _roughly(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the distance at the centre of each point's square of the chart, and its maximum error.

        The distance from the outline changes by at most 1 mm per mm. A point beyond the squares is further
        from the outline than the nearest point within them.
        """
        low, side, middles = self._squares
        column, row = (
            np.minimum(np.maximum((p - start) / side, 0), SQUARES - 1).astype(np.int64)
            for p, start in zip((u, v), low, strict=True)
        )
        return middles[column * SQUARES + row], side * HALF_DIAGONAL

    @cached_property
    def _squares(self) -> tuple[tuple[float, float], float, np.ndarray]:
        """Return origin and side of the squares in mm, and distances at their centres, (SQUARES ** 2,)."""
        corners = np.array(self.outline_mm)
        low = corners.min(axis=0) - MARGIN_MM
        side = float(np.ptp(corners, axis=0).max() + 2 * MARGIN_MM) / SQUARES
        u, v = (start + (np.arange(SQUARES) + 0.5) * side for start in low)
        return (low[0], low[1]), side, self._outline(np.repeat(u, SQUARES), np.tile(v, SQUARES))

    def _outline(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return (n,) signed distance on the chart, in mm, from the saw lines and burr holes."""
        outline = _polygon_distance(np.array(self.outline_mm), u, v)
        if self.hole_radius_mm > 0:
            for hole_u, hole_v in self.holes_mm:
                du, dv = u - hole_u, v - hole_v
                outline = np.minimum(outline, np.sqrt(du * du + dv * dv) - self.hole_radius_mm)
        return outline


def _polygon_distance(corners: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return (n,) signed distance of points from a simple polygon with (m, 2) corners, negative inside."""
    u0, v0 = corners.T[:, :, None]  # (m, 1) each, to broadcast edges against points
    u1, v1 = np.roll(corners, -1, axis=0).T[:, :, None]
    eu, ev = u1 - u0, v1 - v0
    du, dv = u - u0, v - v0
    along = (du * eu + dv * ev) / (eu * eu + ev * ev)
    along = np.minimum(np.maximum(along, 0.0), 1.0)
    ru, rv = du - along * eu, dv - along * ev
    distance = np.sqrt((ru * ru + rv * rv).min(axis=0))
    # Crossings of the half-line to the right (Shimrat 1962).
    slope = eu / np.where(ev == 0, 1.0, ev)
    crossed = ((v0 > v) != (v1 > v)) & (du < dv * slope)
    inside = np.logical_xor.reduce(crossed, axis=0)
    return np.asarray(np.where(inside, -distance, distance))
