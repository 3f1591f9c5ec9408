"""Bone below the vault, and pin-holes: pieces, tunnels and holes that no radius of the vault shows."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label

from calvaria.geometry.components import bounding_box
from calvaria.geometry.grid import Grid
from calvaria.metrics.surface_map import SurfaceMap, view
from calvaria.skull.vault import find_vault

PIN_HOLE_MM2 = 100.0  # larger openings are orbits, foramina or defects
DROP_VOXELS = 2  # smaller pieces are noise


@dataclass(frozen=True)
class Base:
    """Measures of the base and the face: all bone below the vault's floor."""

    drops: float  # pieces besides the largest, joined by faces
    drop_share: float  # bone in them, as a share of the base
    euler: float  # pieces - tunnels + cavities, of bone joined also by edges and corners
    surface_per_mm: float  # area of the voxels' free faces over the volume: low for blurred bone


@dataclass(frozen=True)
class PinHoles:
    """Openings of less than ``PIN_HOLE_MM2``, per 100 cm2 of the map."""

    vault: float
    temporal: float


def base(skull: np.ndarray, grid: Grid) -> Base:
    """Return the measures of a skull's base and face, (x, y, z) non-zero where there is bone.

    Raises:
        InputError: if the skull has no vault.
    """
    from skimage.measure import euler_number

    bone = _below_floor(skull, grid)
    box = bounding_box(bone)
    if box is None:
        return Base(0, 0, 0, 0)
    inner = np.pad(bone[box], 1)
    sizes = _sizes(inner)
    loose = np.sort(sizes)[:-1]
    loose = loose[loose >= DROP_VOXELS]
    volume = np.count_nonzero(inner)
    faces = sum(np.count_nonzero(np.diff(inner, axis=axis)) for axis in range(3))
    return Base(
        drops=len(loose),
        drop_share=float(loose.sum() / volume),
        euler=float(euler_number(inner, connectivity=3)),
        surface_per_mm=faces / volume / grid.spacing_mm,
    )


def _below_floor(skull: np.ndarray, grid: Grid) -> np.ndarray:
    vault = find_vault(skull, grid)
    x, y, z = (grid.centres(axis) - vault.centre_mm[axis] for axis in range(3))
    below = vault.above_floor(x[:1, None], y[:, None], z) < 0
    return (skull > 0) & below


def _sizes(bone: np.ndarray) -> np.ndarray:
    import cc3d

    numbers = cc3d.connected_components(bone, connectivity=6)
    return np.bincount(numbers.reshape(-1))[1:]


def pin_holes(surfaces: SurfaceMap, spacing_mm: float) -> PinHoles:
    """Return the pin-holes of a skull's vault and temporal bone.

    Raises:
        ValueError: if no ray meets bone.
    """
    seen = view(spacing_mm)
    if not surfaces.closed.any():
        raise ValueError("expected a skull with a vault, got bone that no ray from the vault's centre meets")
    area_mm2 = seen.solid_angle * float(np.median(surfaces.outer_mm[surfaces.closed])) ** 2
    open_ = ~surfaces.closed
    numbers, count = label(seen.square(open_), np.ones((3, 3)))
    of_pixel = numbers.reshape(-1)[seen.places]
    sizes = np.bincount(of_pixel, area_mm2, count + 1)
    small = np.flatnonzero(sizes <= PIN_HOLE_MM2)

    def density(region: np.ndarray) -> float:
        found = np.intersect1d(np.unique(of_pixel[region & open_]), small)
        return float(len(found) / area_mm2[region].sum() * 1e4)

    return PinHoles(density(seen.vault), density(seen.temporal))
