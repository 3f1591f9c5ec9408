"""Meshes of bone and implants for the report's 3-D view, small enough to embed in the page.

A surface is the level set of the blurred voxels that keeps their volume. Positions are RAS+ millimetres
from the centre of the grid.
"""

import gzip
from base64 import b64encode
from dataclasses import dataclass

import numpy as np

from calvaria.geometry.grid import Grid
from calvaria.geometry.thresholds import count_keeping_threshold
from calvaria.report.render import BLUR_VOXELS, blur

SAMPLES = 64  # maximum samples along an axis of the blurred field, which limits the size of a mesh
STEP_MM = 0.05  # resolution of stored positions; 16 bits cover 1.6 m
DISTANCE_MM = 0.01  # resolution of stored distances
PARTS = 6  # distances are measured to points of a triangle with barycentric steps of 1 / PARTS


@dataclass(frozen=True)
class Surface:
    """A triangle mesh."""

    points: np.ndarray  # (n, 3) float64, RAS+ mm
    triangles: np.ndarray  # (m, 3) intp, counterclockwise from outside

    def sample_points(self) -> np.ndarray:
        """Return (k, 3) points in mm, distributed over the triangles."""
        steps = [(i, j, PARTS - i - j) for i in range(PARTS + 1) for j in range(PARTS + 1 - i)]
        corners = self.points[self.triangles]
        return np.einsum("sc,tcx->tsx", np.array(steps) / PARTS, corners).reshape(-1, 3)


def surface(mask: np.ndarray, grid: Grid) -> Surface | None:
    """Return the surface of an (x, y, z) bool mask, with the same volume; None if the mask is empty."""
    from skimage.measure import marching_cubes

    if not mask.any():
        return None
    spacing = max(0.9 * grid.spacing_mm, max(grid.extent_mm) / SAMPLES)
    field = blur(mask, grid, max(BLUR_VOXELS * grid.spacing_mm, 0.6 * spacing), spacing)
    # The level keeps the volume; a fixed one would thicken or erode structures as thin as an implant.
    count = max(1, round(np.count_nonzero(mask) * (grid.spacing_mm / spacing) ** 3))
    level = float(count_keeping_threshold(field.values, count))
    values = np.pad(field.values, 1)
    points, triangles, _, _ = marching_cubes(values, level, gradient_direction="ascent")
    return Surface((points - 1.0) * spacing + field.origin_mm, triangles.astype(np.intp))


def distances(moved: Surface, fixed: Surface) -> np.ndarray:
    """Return (n,) signed distances in mm from the points of one surface to another; negative inside."""
    from scipy.spatial import cKDTree

    points = fixed.sample_points()
    normals = np.repeat(_normals(fixed), len(points) // len(fixed.triangles), axis=0)
    unsigned, nearest = cKDTree(points).query(moved.points)
    outside = np.einsum("nx,nx->n", moved.points - points[nearest], normals[nearest]) >= 0
    return np.where(outside, unsigned, -unsigned)


def packed(values: np.ndarray) -> str:
    """Encode an array for the page: base64 of gzip of its little-endian bytes in C order."""
    content = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    return b64encode(gzip.compress(content, 9, mtime=0)).decode()


def to_json(mesh: Surface, signed_mm: np.ndarray | None = None) -> dict[str, str | int]:
    """Encode a mesh, optionally with a distance for each of its points, for the 3-D view.

    Positions and distances are quantised to int16. Positions and vertex indices are stored as differences,
    which compress better.

    Args:
        signed_mm: (n,) signed distances of the points in mm.
    """
    steps = np.rint(mesh.points / STEP_MM).astype(np.int16)
    wide = np.uint16 if len(steps) < 2**16 else np.uint32
    encoded: dict[str, str | int] = {
        "points": packed(_differences(steps.T)),
        "triangles": packed(_differences(mesh.triangles.ravel()).astype(wide)),
        "bytes": np.dtype(wide).itemsize,
    }
    if signed_mm is not None:
        distances_in_steps = np.clip(np.rint(signed_mm / DISTANCE_MM), -32767, 32767).astype(np.int16)
        encoded["distances"] = packed(distances_in_steps)
    return encoded


def _differences(values: np.ndarray) -> np.ndarray:
    """Return differences along the last axis, the first from zero; overflow cancels in their sum."""
    return np.diff(values, axis=-1, prepend=values.dtype.type(0))


def _normals(mesh: Surface) -> np.ndarray:
    """Return (m, 3) outward normals of the triangles, not normalised."""
    a, b, c = np.moveaxis(mesh.points[mesh.triangles], 1, 0)
    return np.cross(b - a, c - a)
