"""Surfaces for the report's 3-D view: meshes of bone and implants, small enough to lie in a page.

A surface is a level of the blurred voxels, the one that encloses their volume. Positions are RAS+ millimetres
from the centre of the grid.
"""

import gzip
from base64 import b64encode
from dataclasses import dataclass

import numpy as np

from calvaria.geometry.grid import Grid
from calvaria.geometry.thresholds import count_keeping_threshold
from calvaria.report.render import BLUR_VOXELS, blur

SAMPLES = 64  # most samples along an axis of the blurred field, which bounds the size of a mesh
STEP_MM = 0.05  # of stored positions: 16 bits reach 1.6 m
DISTANCE_MM = 0.01  # of stored distances
PARTS = 6  # the places on a triangle that distances are measured to have barycentric steps of 1 / PARTS


@dataclass(frozen=True)
class Surface:
    """A triangle mesh."""

    points: np.ndarray  # (n, 3) float64, RAS+ mm
    triangles: np.ndarray  # (m, 3) intp, counterclockwise from outside

    def places(self) -> np.ndarray:
        """(k, 3) points in mm, spread over the triangles."""
        steps = [(i, j, PARTS - i - j) for i in range(PARTS + 1) for j in range(PARTS + 1 - i)]
        corners = self.points[self.triangles]
        return np.einsum("sc,tcx->tsx", np.array(steps) / PARTS, corners).reshape(-1, 3)


def surface(mask: np.ndarray, grid: Grid) -> Surface | None:
    """The surface of an (x, y, z) bool mask, which encloses as much as it; None of an empty one."""
    from skimage.measure import marching_cubes

    if not mask.any():
        return None
    spacing = max(0.9 * grid.spacing_mm, max(grid.extent_mm) / SAMPLES)
    field = blur(mask, grid, max(BLUR_VOXELS * grid.spacing_mm, 0.6 * spacing), spacing)
    # The level that keeps the volume; a fixed one would thicken or eat what is as thin as an implant.
    count = max(1, round(np.count_nonzero(mask) * (grid.spacing_mm / spacing) ** 3))
    level = float(count_keeping_threshold(field.values, count))
    values = np.pad(field.values, 1)
    points, triangles, _, _ = marching_cubes(values, level, gradient_direction="ascent")
    return Surface((points - 1.0) * spacing + field.origin_mm, triangles.astype(np.intp))


def distances(moved: Surface, fixed: Surface) -> np.ndarray:
    """(n,) mm from the points of one surface to another; negative inside of it."""
    from scipy.spatial import cKDTree

    places = fixed.places()
    normals = np.repeat(_normals(fixed), len(places) // len(fixed.triangles), axis=0)
    found, nearest = cKDTree(places).query(moved.points)
    outside = np.einsum("nx,nx->n", moved.points - places[nearest], normals[nearest]) >= 0
    return np.where(outside, found, -found)


def packed(values: np.ndarray) -> str:
    """An array for the page: gzip of its little-endian bytes in C order, in base64."""
    content = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    return b64encode(gzip.compress(content, 9, mtime=0)).decode()


def to_json(found: Surface, coloured: np.ndarray | None = None) -> dict[str, str | int]:
    """A mesh, and a distance for each of its points if given, as the 3-D view reads it.

    Positions and distances are int16 in steps; both, and the corners, are stored as differences to the one
    before, column by column, which packs better.
    """
    steps = np.rint(found.points / STEP_MM).astype(np.int16)
    wide = np.uint16 if len(steps) < 2**16 else np.uint32
    mesh: dict[str, str | int] = {
        "points": packed(_differences(steps.T)),
        "triangles": packed(_differences(found.triangles.ravel()).astype(wide)),
        "bytes": np.dtype(wide).itemsize,
    }
    if coloured is not None:
        reach = np.clip(np.rint(coloured / DISTANCE_MM), -32767, 32767).astype(np.int16)
        mesh["distances"] = packed(reach)
    return mesh


def _differences(values: np.ndarray) -> np.ndarray:
    """Differences along the last axis, the first from zero; they wrap, as the sum that undoes them does."""
    return np.diff(values, axis=-1, prepend=values.dtype.type(0))


def _normals(found: Surface) -> np.ndarray:
    """(m, 3) outward normals of the triangles, of any length."""
    a, b, c = np.moveaxis(found.points[found.triangles], 1, 0)
    return np.cross(b - a, c - a)
