"""Vault map: distances of the vault's inner and outer surface from a fixed point inside the head.

Rays are cast from that point over a cone around the top of the head. The map is an azimuthal equidistant
projection: its pole is the top of the head, its first axis points to the right, its second to the front. It
shows holes in the vault, and the differences between heads, at the scan's resolution.
"""

from dataclasses import dataclass

import numpy as np

from calvaria.geometry.blocks import occupied
from calvaria.geometry.grid import Grid
from calvaria.geometry.projection import pixel_directions, pixel_positions

SIZE = 64  # pixels per edge
CONE_DEG = 80.0  # from the top of the head to the map's inscribed circle
CENTRE_MM = (0.0, 0.0, -100.0)  # below the anchor: near the middle of the head
REACH_MM = (25.0, 150.0)
STEP_MM = 0.25
BLOCK = 4  # voxels; blocks without bone are not interpolated
ROWS = 8  # of the map cast at a time, to bound the memory


@dataclass(frozen=True)
class VaultPicture:
    """The vault map of one head."""

    inner_mm: np.ndarray  # (SIZE, SIZE) float32 distance to the inner surface; 0 where there is no bone
    outer_mm: np.ndarray  # (SIZE, SIZE) float32 distance to the outer surface; 0 where there is no bone
    exit_mm: np.ndarray  # (SIZE, SIZE) float32 distance at which the ray leaves the scan

    @property
    def thickness_mm(self) -> np.ndarray:
        """Return the (SIZE, SIZE) distance between the surfaces in mm."""
        return self.outer_mm - self.inner_mm


def anchor_height(grid: Grid, top_margin_mm: float) -> float:
    """Return the height of the vault's anchor in the box of a canonical grid, in mm from its centre."""
    return grid.extent_mm[2] / 2 - top_margin_mm


def grid_positions() -> tuple[np.ndarray, np.ndarray]:
    """Return the first and second coordinate in [-1, 1] of every pixel, (SIZE, SIZE) each."""
    return pixel_positions(SIZE)


def directions() -> np.ndarray:
    """Return (SIZE, SIZE, 3) unit vectors of the pixels."""
    return pixel_directions(SIZE, CONE_DEG)


def inside_cone() -> np.ndarray:
    """Return (SIZE, SIZE) bool: pixels in the cone, which excludes the corners of the map."""
    first, second = grid_positions()
    return np.hypot(first, second) <= 1


def pixel_area() -> np.ndarray:
    """Return the (SIZE, SIZE) solid angle of every pixel in steradians."""
    first, second = grid_positions()
    angle = np.hypot(first, second) * np.deg2rad(CONE_DEG)
    flat = (2 / SIZE * np.deg2rad(CONE_DEG)) ** 2
    return flat * np.sin(angle) / np.maximum(angle, 1e-9)


def picture_vault(labels: np.ndarray, affine: np.ndarray, to_head: np.ndarray) -> VaultPicture:
    """Return the vault map of a scan.

    Args:
        labels: (i, j, k) uint8, non-zero where there is bone.
        affine: (4, 4) voxel indices to RAS+ millimetres.
        to_head: (4, 4) rigid, scan RAS+ millimetres to a frame whose origin is the vault's anchor.
    """
    from scipy.ndimage import map_coordinates

    bone = labels if labels.max() <= 1 else (labels > 0).view(np.uint8)
    near = _near(bone)
    last = np.array(bone.shape) - 1
    distances = np.arange(*REACH_MM, STEP_MM)
    to_scan = np.linalg.inv(to_head @ affine)
    inner, outer = np.zeros((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.float32)
    leave = np.zeros((SIZE, SIZE), np.float32)
    rays = directions()
    for row in range(0, SIZE, ROWS):
        points = np.array(CENTRE_MM) + rays[row : row + ROWS, :, None, :] * distances[:, None]
        index = points @ to_scan[:3, :3].T + to_scan[:3, 3]
        x, y, z = np.moveaxis((index >= 0) & (index <= last), -1, 0)
        within = x & y & z
        x, y, z = np.moveaxis(np.clip(index, 0, last).astype(np.int32) // BLOCK, -1, 0)
        inside = within & near[x, y, z]
        inside[inside] = map_coordinates(bone, index[inside].T, output=np.float32, order=1) >= 0.5
        met = inside.any(axis=-1)
        rows = slice(row, row + ROWS)
        inner[rows] = np.where(met, distances[inside.argmax(axis=-1)], 0)
        outer[rows] = np.where(met, distances[-1 - inside[..., ::-1].argmax(axis=-1)], 0)
        leave[rows] = distances[-1 - within[..., ::-1].argmax(axis=-1)] * within.any(axis=-1)
    return VaultPicture(inner, outer, leave)


def _near(bone: np.ndarray) -> np.ndarray:
    """Return (a, b, c) bool: blocks in which interpolation of bone (i, j, k) may give bone."""
    near = occupied(bone, BLOCK)
    for axis in range(3):  # interpolation crosses the border to the next block
        blocks = np.moveaxis(near, axis, 0)
        blocks[:-1] |= blocks[1:].copy()
    return near
