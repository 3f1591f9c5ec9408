"""Map of a skull's surfaces: radii along rays from the vault's centre, precise to a fraction of a voxel.

The map is an azimuthal equidistant projection around the vault's axis; its pixels are two thirds of a voxel
wide, 80 mm from the centre. A ray is in bone where the mask, trilinearly interpolated, is at least one half;
the place where it crosses that level is found by linear interpolation between two points of the ray.

A trilinear interpolation needs the eight voxels around a point. They are packed into the bits of one byte per
place, so that most points are decided by a single look-up.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from calvaria.geometry.grid import Grid
from calvaria.geometry.projection import pixel_directions
from calvaria.skull.measures import CENTRE_DEPTH, extent, vault_cap
from calvaria.skull.vault import INNER

REFERENCE_MM = 80.0  # typical distance of the vault from its centre
PIXEL_VOXELS = 2 / 3  # width of a pixel at that distance
STEP_VOXELS = 0.5  # between the points of a ray
REACH_MM = (25.0, 130.0)  # distances from the centre in which the surfaces of a head lie
# The map reaches further down than the vault, to show the temporal bone.
VIEW_DEG = 122.0
TEMPORAL_DEG, TEMPORAL_FROM_DEG = 40.0, 75.0  # from the left-right axis; from the vault's axis
CHUNK = 2048  # rays cast at a time, so that their points fit into the processor's cache
CHUNKS = 128  # whose points are kept for the next skull; enough for grids of 1 mm


@dataclass(frozen=True)
class View:
    """The pixels of a map, in an order that all maps of a grid share."""

    size: int  # pixels along each edge of the square map
    pixel_rad: float  # angle between neighbouring pixels
    places: np.ndarray  # (n,) index of each pixel in the flattened square
    directions: np.ndarray  # (n, 3) unit vectors, x to the right, y to the front, z to the top
    solid_angle: np.ndarray  # (n,) steradians of each pixel
    vault: np.ndarray  # (n,) bool: whether real vaults are closed there
    temporal: np.ndarray  # (n,) bool: temporal bone

    nearest: np.ndarray  # (size, size) index of the pixel nearest to each place of the square

    def square(self, values: np.ndarray) -> np.ndarray:
        """Return (size, size) of the pixels' values (n,), 0 elsewhere."""
        out = np.zeros(self.size * self.size, values.dtype)
        out[self.places] = values
        return out.reshape(self.size, self.size)

    def coordinates(self, directions: np.ndarray) -> np.ndarray:
        """Return (2, ...) fractional indices in the square of directions (..., 3) around the vault's axis."""
        x, y, z = np.moveaxis(directions, -1, 0)
        across = np.hypot(x, y)
        radius = np.arctan2(across, z) / self.pixel_rad / np.maximum(across, 1e-12)
        return np.stack([x * radius, y * radius]) + (self.size - 1) / 2


@dataclass(frozen=True)
class SurfaceMap:
    """The surfaces of one skull along the rays of a view."""

    outer_mm: np.ndarray  # (n,) float32 distance to the outer surface; 0 without bone
    inner_mm: np.ndarray  # (n,) float32 distance to the inner surface; 0 without bone
    thickness_mm: np.ndarray  # (n,) float32 length of the ray in bone; 0 where there is none

    @property
    def closed(self) -> np.ndarray:
        """Return (n,) bool: pixels with bone."""
        return self.outer_mm > 0


@dataclass(frozen=True)
class Windows:
    """Square windows of a view, each an azimuthal equidistant projection around its own axis."""

    size: int  # pixels along each edge, even
    places: np.ndarray  # (2, windows, size, size) fractional indices in the square map
    axes: np.ndarray  # (windows, 3) unit vectors around the vault's axis

    def of(self, square: np.ndarray) -> np.ndarray:
        """Return (windows, size, size) float64 of a square map, by cubic interpolation."""
        values: np.ndarray = map_coordinates(square, self.places, output=np.float64, order=3, mode="nearest")
        return values


@cache
def view(spacing_mm: float) -> View:
    """Return the pixels of maps of a grid with this spacing."""
    pixel = PIXEL_VOXELS * spacing_mm / REFERENCE_MM
    lowest = vault_cap()[1]
    half = int(np.ceil(np.deg2rad(VIEW_DEG) / pixel))
    size = 2 * half
    upright = pixel_directions(size, float(np.rad2deg(half * pixel))).reshape(-1, 3)
    directions = to_head(upright)
    cosine = upright[:, 2]
    sideways = np.abs(directions[:, 0]) >= np.cos(np.deg2rad(TEMPORAL_DEG))
    in_view = cosine >= np.cos(np.deg2rad(VIEW_DEG))
    temporal = sideways & in_view & (cosine <= np.cos(np.deg2rad(TEMPORAL_FROM_DEG)))
    # The corners of the square are beyond the opposite pole, and may have a large cosine again.
    angle = np.hypot(*(np.indices((size, size)).reshape(2, -1) + 0.5 - half)) * pixel
    near = angle <= np.deg2rad(VIEW_DEG)
    vault = near & (cosine >= lowest)
    temporal &= near
    places = np.flatnonzero(vault | temporal)
    solid = pixel * pixel * np.sin(angle[places]) / np.maximum(angle[places], 1e-9)
    number = np.full(size * size, -1)
    number[places] = np.arange(len(places))
    square = number.reshape(size, size)
    at = distance_transform_edt(square < 0, return_distances=False, return_indices=True)
    nearest = square[tuple(at)]
    return View(size, pixel, places, directions[places], solid, vault[places], temporal[places], nearest)


def windows(seen: View, width_mm: float, leans: np.ndarray, turns: np.ndarray) -> Windows:
    """Return windows of a view.

    Args:
        width_mm: of each window, at ``REFERENCE_MM``.
        leans: (windows,) radians from the vault's axis to that of a window.
        turns: (windows,) radians about the vault's axis, from the right to the front.
    """
    half = int(np.ceil(width_mm / REFERENCE_MM / 2 / seen.pixel_rad))
    around = pixel_directions(2 * half, float(np.rad2deg(half * seen.pixel_rad)))
    x, y, z = np.moveaxis(around, -1, 0)
    s, c = (part(leans)[:, None, None] for part in (np.sin, np.cos))
    x, z = x * c + z * s, z * c - x * s
    s, c = (part(turns)[:, None, None] for part in (np.sin, np.cos))
    directions = np.stack([x * c - y * s, x * s + y * c, z], axis=-1)
    axes = np.stack([np.sin(leans) * np.cos(turns), np.sin(leans) * np.sin(turns), np.cos(leans)], axis=1)
    return Windows(2 * half, seen.coordinates(directions), axes)


def filled(seen: View, values: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """Return (size, size) float32 of a map's values (n,), with smooth values where it is not ``closed``.

    Raises:
        ValueError: if no pixel is closed.
    """
    if not closed.any():
        raise ValueError("expected a skull with a vault, got bone that no ray from the vault's centre meets")
    square, known = values.astype(np.float32)[seen.nearest], closed[seen.nearest]
    width = 1.0
    while not known.all():
        weight = gaussian_filter(known.astype(np.float32), width, mode="nearest")
        smooth = gaussian_filter(np.where(known, square, 0), width, mode="nearest")
        new = ~known & (weight > 0.05)
        square[new] = smooth[new] / weight[new]
        known |= new
        width *= 2
    return square


def to_head(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (..., 3), given around the vault's axis, in the head's frame."""
    tilt = vault_cap()[0]
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.stack([x, y * np.cos(tilt) - z * np.sin(tilt), y * np.sin(tilt) + z * np.cos(tilt)], axis=-1)


def map_surfaces(skull: np.ndarray, grid: Grid) -> SurfaceMap:
    """Return the map of a complete skull.

    Bone deeper than ``INNER`` of the vault's ellipsoid is base or calcification and is ignored, as by
    `calvaria.skull.measures.vault_map`. The centre is moved to that of the nearest voxel.

    Args:
        skull: (x, y, z) non-zero where there is bone.

    Raises:
        ValueError: if the skull is empty.
    """
    low, high = extent(skull, grid)
    centre = (low + high) / 2
    centre[2] = high[2] - CENTRE_DEPTH * (high[1] - low[1])
    semi_axes = np.append((high - low)[:2] / 2, high[2] - centre[2])
    at = np.round((centre + np.array(grid.extent_mm) / 2) / grid.spacing_mm - 0.5).astype(int)
    corners = _corners(skull, at, grid.spacing_mm)
    rays = _rays(grid.spacing_mm)
    deep = INNER / np.linalg.norm(view(grid.spacing_mm).directions / semi_axes, axis=1)
    parts = []
    for first in range(0, len(deep), CHUNK):
        part = slice(first, first + CHUNK)
        values = _values(corners.take(_cells(grid.spacing_mm, first)), rays, part)
        parts.append(_crossings(values, rays.distances_mm, deep[part]))
    outer, inner, thickness = (np.concatenate(values) for values in zip(*parts, strict=True))
    return SurfaceMap(outer, inner, thickness)


@dataclass(frozen=True)
class _Rays:
    """The points of all rays, relative to the voxel at the centre."""

    distances_mm: np.ndarray  # (points,) float64
    directions: np.ndarray  # (n, 3) float64 voxels per mm
    reach: int  # voxels from the cube's centre to its faces


@cache
def _rays(spacing_mm: float) -> _Rays:
    distances = np.arange(REACH_MM[0], REACH_MM[1], STEP_VOXELS * spacing_mm)
    return _Rays(distances, view(spacing_mm).directions / spacing_mm, int(REACH_MM[1] / spacing_mm) + 3)


@lru_cache(maxsize=CHUNKS)
def _cells(spacing_mm: float, first: int) -> np.ndarray:
    """Return (CHUNK, points) int32: in which cell of eight voxels, in a flattened cube, the points lie."""
    rays = _rays(spacing_mm)
    directions = rays.directions[first : first + CHUNK]
    cells = np.zeros((len(directions), len(rays.distances_mm)), np.int32)
    for axis in range(3):
        cells *= 2 * rays.reach + 1
        cells += np.floor(directions[:, axis, None] * rays.distances_mm).astype(np.int32) + rays.reach
    return cells


def _corners(skull: np.ndarray, at: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Return the flattened cube around a voxel: (cells,) uint8, a bit for each of a cell's eight voxels."""
    reach = _rays(spacing_mm).reach
    side = 2 * reach + 1
    start = reach - at
    source = tuple(slice(max(0, -s), min(n, side - s - 1)) for s, n in zip(start, skull.shape, strict=True))
    bone = np.pad((skull[source] > 0).view(np.uint8), 1)
    cube = np.zeros((side, side, side), np.uint8)
    inner = tuple(slice(s + part.start - 1, s + part.stop) for s, part in zip(start, source, strict=True))
    codes = np.zeros(tuple(n - 1 for n in bone.shape), np.uint8)
    for corner in range(8):
        x, y, z = corner >> 2, corner >> 1 & 1, corner & 1
        shifted = bone[x : x + codes.shape[0], y : y + codes.shape[1], z : z + codes.shape[2]]
        codes |= shifted << np.uint8(7 - corner)  # the first corner is the highest bit, as in unpackbits
    cube[inner] = codes
    return cube.reshape(-1)


def _values(codes: np.ndarray, rays: _Rays, part: slice) -> np.ndarray:
    """Return (rays, points) float32 of the interpolated mask, between 0 and 1.

    Args:
        codes: (rays, points) uint8, a bit for each of the eight voxels around a point.
        part: which rays.
    """
    values = (codes == 255).astype(np.float32)
    mixed = np.flatnonzero(codes.reshape(-1) - np.uint8(1) < 254)  # 0 becomes 255
    ray, point = np.divmod(mixed, codes.shape[1])
    places = rays.directions[part][ray] * rays.distances_mm[point, None]
    places -= np.floor(places)
    x, y, z = places.T.astype(np.float32)
    bits = np.unpackbits(codes.reshape(-1)[mixed][None], axis=0).reshape(2, 2, 2, -1).astype(np.float32)
    along = bits[0] + (bits[1] - bits[0]) * x
    across = along[0] + (along[1] - along[0]) * y
    values.reshape(-1)[mixed] = across[0] + (across[1] - across[0]) * z
    return values


def _crossings(
    values: np.ndarray, distances: np.ndarray, deep: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return outer radius, inner radius and thickness, (rays,) float32 mm each, 0 for rays without bone."""
    step = distances[1] - distances[0]
    inside = (values >= 0.5) & (distances >= deep[:, None])
    inside[:, [0, -1]] = False  # so that there is a point before the first and after the last
    met = inside.any(axis=1)
    ray = np.arange(len(values))
    first, last = inside.argmax(axis=1), inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    last = np.where(met, last, 0)
    outer = distances[last] + step * _share(values[ray, last], values[ray, np.where(met, last + 1, 0)])
    # Where bone reaches the depth limit, the surface is at that limit.
    before = np.where(met, first - 1, 0)
    inner = distances[first] - step * _share(values[ray, first], values[ray, before])
    gaps = (last - first + 1) - np.count_nonzero(inside, axis=1)
    thickness = np.maximum(outer - inner - step * gaps, 0)
    return (
        np.where(met, outer, 0).astype(np.float32),
        np.where(met, inner, 0).astype(np.float32),
        np.where(met, thickness, 0).astype(np.float32),
    )


def _share(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Return the share of a step between a point inside and one outside at which the level is crossed."""
    return np.clip((inside - 0.5) / np.maximum(inside - outside, 1e-6), 0, 1)
