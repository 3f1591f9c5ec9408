"""Detect repeat scans: align two vaults and measure the remaining distance.

The inner and outer surface of one vault, sampled as points, are aligned rigidly to the other's vault map by
minimising radial distances (Gauss-Newton with Huber weights, from the poses estimated with the template).
Two scans of one head, at another time, spacing, position or field of view, differ by a fraction of a voxel;
two people differ more, since the inner surface carries the imprint of the brain. Mirrored copies are
detected by mirroring one of the two vaults.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calvaria.geometry.rotation import rotation_of_half_tangents
from calvaria.skull.vault_map import CONE_DEG, SIZE, VaultPicture, directions, inside_cone

STRIDES = (6, 2)  # pixels between sampled points along each axis; coarse, then fine
ROUNDS = (4, 12)
DIFFERENT_MM = 1.2  # pairs further apart than this at the coarse stride skip the fine one
HUBER_MM = 1.0
KEPT = 0.9  # share of the distances averaged; the largest are at holes, residue and cut edges
STEPS = np.array([1e-3] * 3 + [0.1] * 3)  # of the numerical derivatives, in radians and mm
TURN_END, SHIFT_END_MM = 1e-4, 1e-2  # smaller changes end the iteration


@dataclass(frozen=True)
class Match:
    """Distance between two vaults."""

    distance_mm: float  # mean radial distance between the surfaces, without the largest tenth
    mirrored: bool  # whether the second vault was mirrored


@dataclass(frozen=True)
class Shape:
    """The inner and outer surface of a vault, prepared for many comparisons."""

    points: tuple[tuple[np.ndarray, np.ndarray], ...]  # for each stride: (n, 3) mm from the rays' centre
    radii: tuple[np.ndarray, np.ndarray]  # (SIZE, SIZE) mm, holes filled with the nearest radius


def shape(vault: VaultPicture) -> Shape:
    """Prepare a vault with some bone for comparisons."""
    surfaces = (vault.inner_mm, vault.outer_mm)
    return Shape(
        tuple((_points(surfaces[0], stride), _points(surfaces[1], stride)) for stride in STRIDES),
        (_filled(surfaces[0]), _filled(surfaces[1])),
    )


def mirror(vault: VaultPicture) -> VaultPicture:
    """Return the vault mirrored left to right."""
    return VaultPicture(vault.inner_mm[::-1], vault.outer_mm[::-1], vault.exit_mm[::-1])


def match(first: Shape, second: Shape, second_mirrored: Shape) -> Match:
    """Compare two vaults, the second as it is and mirrored, and return the closer match."""
    plain, mirrored = vault_distance(first, second), vault_distance(first, second_mirrored)
    return Match(plain, False) if plain <= mirrored else Match(mirrored, True)


def vault_distance(first: Shape, second: Shape) -> float:
    """Return the mean distance in mm after alignment of the second vault to the first.

    The median distance of each surface is subtracted, since scans differ in their bone threshold.
    """
    motion = np.zeros(6)
    distance = float("inf")
    for points, rounds in zip(second.points, ROUNDS, strict=True):
        motion = _lay_onto(points, first.radii, motion, rounds)
        distance = _trimmed(_residuals(points, first.radii, motion))
        if distance > DIFFERENT_MM:
            break
    return round(distance, 3)


def _points(surface: np.ndarray, stride: int) -> np.ndarray:
    used = np.zeros((SIZE, SIZE), bool)
    used[stride // 2 :: stride, stride // 2 :: stride] = True
    used &= inside_cone() & (surface > 0)
    return directions()[used] * surface[used][:, None].astype(np.float64)


def _filled(radii: np.ndarray) -> np.ndarray:
    """Return radii with holes filled by their nearest neighbours."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(radii == 0, return_distances=False, return_indices=True)
    return radii[tuple(nearest)].astype(np.float64)


def _lay_onto(
    points: Sequence[np.ndarray], radii: Sequence[np.ndarray], motion: np.ndarray, rounds: int
) -> np.ndarray:
    """Return the motion, (6,) rotation as twice the half tangents and shift in mm, by Gauss-Newton."""
    for _ in range(rounds):
        current = np.concatenate(_residuals(points, radii, motion))
        slopes = [
            (np.concatenate(_residuals(points, radii, motion + step)) - current) / step.sum()
            for step in np.diag(STEPS)
        ]
        weights = np.sqrt(1 / np.maximum(1, np.abs(current) / HUBER_MM))
        change = np.linalg.lstsq(np.stack(slopes, 1) * weights[:, None], -current * weights, rcond=None)[0]
        motion = motion + change
        if np.abs(change[:3]).max() < TURN_END and np.abs(change[3:]).max() < SHIFT_END_MM:
            break
    return motion


def _residuals(
    points: Sequence[np.ndarray], radii: Sequence[np.ndarray], motion: np.ndarray
) -> list[np.ndarray]:
    """Return the radial distances in mm of the moved points from the other vault, for each surface."""
    from scipy.ndimage import map_coordinates

    a, b, c = motion[:3] / 2
    rotation = np.array(rotation_of_half_tangents(a, b, c))
    distances = []
    for cloud, surface in zip(points, radii, strict=True):
        moved = cloud @ rotation.T + motion[3:]
        radius = np.sqrt((moved**2).sum(axis=1))
        angle = np.arccos(np.clip(moved[:, 2] / radius, -1, 1))
        along = angle / np.deg2rad(CONE_DEG) / np.maximum(np.hypot(moved[:, 0], moved[:, 1]), 1e-9)
        place = (np.stack([moved[:, 0] * along, moved[:, 1] * along]) + 1) / 2 * SIZE - 0.5
        distances.append(radius - map_coordinates(surface, place, order=1, mode="nearest"))
    return distances


def _trimmed(residuals: list[np.ndarray]) -> float:
    centred = np.abs(np.concatenate([values - np.median(values) for values in residuals]))
    return float(np.sort(centred)[: max(1, int(KEPT * len(centred)))].mean())
