"""Phantom heads for the tests of ingest, and their transformations by scanners."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from calvaria import seeds
from calvaria.geometry.grid import Grid
from calvaria.sources import Scan
from calvaria.sources.phantom.build import build_phantom
from calvaria.sources.phantom.parameters import Phantom, sample_phantom


@cache
def phantom(number: int) -> Phantom:
    """Return a person; the lower limit of the field of view is the same for all."""
    return replace(sample_phantom(seeds.generator(7, "head", number)), cut_height=-30.0)


@cache
def head(number: int, spacing_mm: float = 2.0) -> Scan:
    """Return the scan of a person."""
    return Scan(*build_phantom(phantom(number), spacing_mm))


def moved(scan: Scan, matrix: np.ndarray, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Scan:
    """Return the same voxels transformed in the world by a (3, 3) matrix and a shift in mm."""
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = matrix, shift
    return replace(scan, affine=motion @ scan.affine)


def turn(pitch_deg: float, roll_deg: float, yaw_deg: float) -> np.ndarray:
    """Return the (3, 3) rotation about x, then y, then z."""
    from scipy.spatial.transform import Rotation

    matrix: np.ndarray = Rotation.from_euler("xyz", [pitch_deg, roll_deg, yaw_deg], degrees=True).as_matrix()
    return matrix


def angle_deg(rotation: np.ndarray) -> float:
    """Return the angle of a (3, 3) rotation."""
    return float(np.rad2deg(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def stored(scan: Scan, axes: tuple[int, ...], flips: tuple[int, ...]) -> Scan:
    """Return the same head in the same position, with another order and direction of the file's axes."""
    labels, affine = scan.labels, scan.affine.copy()
    for axis in flips:
        labels = np.flip(labels, axis)
        affine[:3, 3] += affine[:3, axis] * (labels.shape[axis] - 1)
        affine[:3, axis] *= -1
    return Scan(np.ascontiguousarray(labels.transpose(axes)), affine[:, [*axes, 3]])


def with_hole(
    scan: Scan, radius_mm: float, label: int = 0, towards: tuple[float, float, float] = (0.5, 0.2, 1.0)
) -> Scan:
    """Cut a round hole, by default at the top right of the vault, or label it as implant."""
    index = np.argwhere(scan.labels > 0)
    world = index @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    top = world[np.argmax(world @ np.array(towards))]
    chosen = index[((world - top) ** 2).sum(axis=1) < radius_mm**2]
    labels = scan.labels.copy()
    labels[tuple(chosen.T)] = label
    return replace(scan, labels=labels)


def shells(grid: Grid, sizes: Sequence[float]) -> np.ndarray:
    """Return (n, x, y, z) uint8 ellipsoidal vaults of several sizes, minimal training data."""
    x, y, z = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    r = np.sqrt((x / 65) ** 2 + (y / 85) ** 2 + (z / 65) ** 2)
    whole = [((r / size > 0.82) & (r / size < 1) & (z > -55)) for size in sizes]
    return np.stack(whole).astype(np.uint8)
