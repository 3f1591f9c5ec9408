"""How the two surfaces of the vault run across a hole, told from the bone around it.

The distances of the outer and the inner surface from a point inside the head are a Gaussian process over its
directions: what training skulls have in common, plus a smooth deviation of this skull, which its other side
shares. Its mean, given the bone that is there, is the best linear guess of what is missing.

Sources: Rasmussen and Williams 2006, Gaussian processes for machine learning; Lüthi et al. 2018, Gaussian
process morphable models.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from calvaria.geometry.grid import Grid
from calvaria.skull.vault_map import CENTRE_MM, CONE_DEG, SIZE, VaultPicture, directions, inside_cone

# Chosen on the training and validation people; how much hangs on them: benchmarks/bridging.md.
LENGTH = 0.5  # rad, over which this skull's own deviation changes
AMPLITUDE_MM = 0.7
NOISE_MM = 0.3
TOGETHER = 0.5  # correlation of the deviations of outer and inner surface
SYMMETRY = 0.5  # of a deviation and that at the mirrored place
AGREES_MM = 1.0  # from the guess: so near, a surface that is seen where bone may be missing is believed
ROUNDS = 3  # of guessing and believing
NEAR = 0.25  # rad around the hole from which is told
NEAR_MIRRORED = 0.12  # rad around the mirrored hole
CLOSE = 0.08  # rad around the hole; further away every other direction is enough
BORDER = 2  # pixels around a hole that are told, too: its rim may be bevelled
DEPTH_MM = 3.0  # below the surfaces, at which the picture of a bridge is saturated


def surfaces(vaults: Sequence[VaultPicture]) -> np.ndarray:
    """(n, 2, p) float32 distances in mm of outer and inner surface, of the p directions in the cone.

    Where a skull has no bone it gets the mean of those that have some, moved by how much larger it is than
    the mean of all, itself included.
    """
    cone = inside_cone()
    found = np.stack([[vault.outer_mm[cone], vault.inner_mm[cone]] for vault in vaults]).astype(np.float64)
    known = found > 0
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known.any(0), (found * known).sum(0) / count, found[known].mean())
    size = ((found - mean) * known).sum(2, keepdims=True) / np.maximum(known.sum(2, keepdims=True), 1)
    return np.where(known, found, mean + size).astype(np.float32)


def hole_around(missing: np.ndarray) -> np.ndarray:
    """(SIZE, SIZE) bool: the hole with its border, given the directions in which bone is missing."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(missing, np.ones((3, 3)), iterations=BORDER)) & inside_cone()


def seen_from_inside(mask: np.ndarray, low: Sequence[int], grid: Grid, anchor_mm: float) -> np.ndarray:
    """(SIZE, SIZE) bool: the directions in which voxels of a mask lie.

    Args:
        mask: (i, j, k) bool, a part of the grid that begins at its voxel ``low``.
        anchor_mm: height of the vault's anchor in the box.
    """
    voxels = np.argwhere(mask) + np.array(low)
    points = (voxels - (np.array(grid.shape) - 1) / 2) * grid.spacing_mm
    pixels, _, inside = _polar(points, anchor_mm)
    found = np.zeros((SIZE, SIZE), bool)
    found[tuple(np.round(pixels[inside]).astype(int).clip(0, SIZE - 1).T)] = True
    return found


def bridge(vault: VaultPicture, hole: np.ndarray, known: np.ndarray) -> VaultPicture:
    """The vault with its surfaces continued across a hole.

    How far the hole reaches is known badly, and much hangs on it: the guess is best when it starts from the
    very rim. So a surface that is seen in the hole counts as told if it agrees with what the others tell.
    A bevelled rim, or a splint, does not.

    Args:
        hole: (SIZE, SIZE) bool, where bone may be missing.
        known: (n, 2, p) of other skulls, as of ``surfaces``.
    """
    cone = inside_cone()
    both = np.concatenate([known, _mirrored(known)]).astype(np.float64)
    mean = both.mean(0)
    deviations = ((both - mean) / np.sqrt(len(both))).reshape(len(both), -1)
    gone = hole[cone]
    rays = directions()[cone]
    flipped = rays * [-1, 1, 1]
    if not gone.any():
        return vault
    away = _angles(rays, rays[gone]).min(1)
    away_mirrored = _angles(flipped, rays[gone]).min(1)
    values = np.stack([vault.outer_mm[cone], vault.inner_mm[cone]]).astype(np.float64)
    seen = values[0] > 0
    first, second = np.indices((SIZE, SIZE))
    some = ((np.minimum(first, SIZE - 1 - first) + second) % 2 == 0)[cone]  # the same on both sides
    near = (away < CLOSE) | (some & ((away < NEAR) | (away_mirrored < NEAR_MIRRORED)))
    around = near & seen & ~gone
    if not around.any():
        return vault

    def covariance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Of both surfaces in some directions and both in others."""
        near = _matern(_angles(rays[a], rays[b]) / LENGTH)
        near += SYMMETRY * _matern(_angles(flipped[a], rays[b]) / LENGTH)
        own = np.kron([[1, TOGETHER], [TOGETHER, 1]], AMPLITUDE_MM**2 * near)
        left, right = deviations[:, np.tile(a, 2)], deviations[:, np.tile(b, 2)]
        return np.asarray(own + left.T @ right)

    maybe = around | (gone & seen)
    among, towards = covariance(maybe, maybe), covariance(gone, maybe)
    among[np.diag_indices_from(among)] += NOISE_MM**2
    deviation = (values - mean)[:, maybe].reshape(-1)
    guess = np.full_like(values, np.inf)
    for _ in range(ROUNDS):
        told = (around | (np.abs(values - guess) < AGREES_MM))[:, maybe].reshape(-1)
        # torch's solver, as it keeps to the number of threads that results are promised for
        factor = torch.linalg.cholesky(torch.from_numpy(among[np.ix_(told, told)]))
        weights = torch.cholesky_solve(torch.from_numpy(deviation[told][:, None]), factor).numpy()[:, 0]
        guess[:, gone] = mean[:, gone] + (towards[:, told] @ weights).reshape(2, -1)
    outer, inner = vault.outer_mm.copy(), vault.inner_mm.copy()
    outer[hole & cone], inner[hole & cone] = guess[:, gone]
    return replace(vault, outer_mm=outer, inner_mm=inner)


def picture_bridge(
    vault: VaultPicture,
    hole: np.ndarray,
    low: Sequence[int],
    shape: Sequence[int],
    grid: Grid,
    anchor_mm: float,
) -> np.ndarray:
    """How deep each voxel lies between the vault's surfaces, and whether it lies in the hole's direction.

    Args:
        hole: (SIZE, SIZE) bool.
        low: the voxel of the grid at which the picture begins.
        shape: of the picture, in voxels.

    Returns:
        (2, x, y, z) float32: depth from -1, ``DEPTH_MM`` or more outside, over 0 on a surface to 1; and from
        0 to 1 how much of the direction is hole.
    """
    from scipy.ndimage import map_coordinates

    axes = [
        (np.arange(start, start + size) - (n - 1) / 2) * grid.spacing_mm
        for start, size, n in zip(low, shape, grid.shape, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    pixels, radius, inside = _polar(points, anchor_mm)
    outer, inner, missing = (
        map_coordinates(image, pixels.T, order=1, mode="nearest", output=np.float32)
        for image in (vault.outer_mm, vault.inner_mm, hole.astype(np.float32))
    )
    depth = np.minimum(outer - radius, radius - inner) / DEPTH_MM
    found = np.stack([np.where(inside, np.clip(depth, -1, 1), -1), np.where(inside, missing, 0)])
    return found.astype(np.float32).reshape(2, *shape)


def _polar(points: np.ndarray, anchor_mm: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel positions (n, 2), distances (n,) in mm, and whether the cone has them, of world positions."""
    away = points - np.add(CENTRE_MM, (0, 0, anchor_mm))
    radius = np.maximum(np.linalg.norm(away, axis=1), 1e-6)
    angle = np.arccos(np.clip(away[:, 2] / radius, -1, 1)) / np.deg2rad(CONE_DEG)
    flat = np.maximum(np.hypot(away[:, 0], away[:, 1]), 1e-9)
    place = away[:, :2] / flat[:, None] * angle[:, None]
    return (place + 1) / 2 * SIZE - 0.5, radius, angle <= 1


def _mirrored(known: np.ndarray) -> np.ndarray:
    """(n, 2, p) of the mirror images."""
    cone = inside_cone()
    whole = np.zeros((*known.shape[:2], SIZE, SIZE), known.dtype)
    whole[..., cone] = known
    return whole[..., ::-1, :][..., cone]


def _matern(distance: np.ndarray) -> np.ndarray:
    """The Matérn covariance of smoothness 3/2, of distances in its lengths."""
    scaled = np.sqrt(3) * distance
    return np.asarray((1 + scaled) * np.exp(-scaled))


def _angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) radians between unit vectors."""
    return np.asarray(np.arccos(np.clip(a @ b.T, -1, 1)))
