"""The directions, seen from inside the head, in which bone is missing."""

import numpy as np

from calvaria.geometry.grid import Grid
from calvaria.skull.vault_map import CENTRE_MM, CONE_DEG, SIZE, VaultPicture, inside_cone

RIM_PIXELS = 2  # by which a hole is dilated, since its rim may be bevelled


def hole_directions(vault: VaultPicture, implant: np.ndarray, grid: Grid, anchor_mm: float) -> np.ndarray:
    """Return the directions, (SIZE, SIZE) bool, of an implant and of the openings that it covers, with a rim.

    Args:
        vault: of the remaining bone.
        implant: (x, y, z) bool on the canonical grid, of the coarse networks.
        anchor_mm: height of the vault's anchor in the grid's box.
    """
    from scipy.ndimage import binary_dilation, binary_propagation

    square = np.ones((3, 3))
    covered = directions_of(implant, grid, anchor_mm)
    opened = (vault.outer_mm == 0) & inside_cone()
    seeds = binary_dilation(covered, square) & opened
    hole = covered | binary_propagation(seeds, square, opened)
    return np.asarray(binary_dilation(hole, square, iterations=RIM_PIXELS)) & inside_cone()


def directions_of(mask: np.ndarray, grid: Grid, anchor_mm: float) -> np.ndarray:
    """Return the directions, (SIZE, SIZE) bool, of the voxels of a mask (x, y, z) on the canonical grid."""
    points = (np.argwhere(mask) - (np.array(grid.shape) - 1) / 2) * grid.spacing_mm - (0, 0, anchor_mm)
    pixels, _, inside = polar(points)
    image = np.zeros((SIZE, SIZE), bool)
    image[tuple(np.round(pixels[inside]).astype(int).clip(0, SIZE - 1).T)] = True
    return image


def polar(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where points are on the vault map.

    Args:
        points: (n, 3) mm from the vault's anchor.

    Returns:
        positions in pixels (n, 2), distances from the map's centre (n,) in mm, and whether a point is in the
        cone (n,).
    """
    away = points - CENTRE_MM
    radius = np.maximum(np.linalg.norm(away, axis=1), 1e-6)
    angle = np.arccos(np.clip(away[:, 2] / radius, -1, 1)) / np.deg2rad(CONE_DEG)
    flat = np.maximum(np.hypot(away[:, 0], away[:, 1]), 1e-9)
    projected = away[:, :2] / flat[:, None] * angle[:, None]
    return (projected + 1) / 2 * SIZE - 0.5, radius, angle <= 1
