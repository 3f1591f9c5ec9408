"""The implant between interpolated surfaces, cut on the scan's own grid."""

from dataclasses import replace
from itertools import product

import numpy as np

from calvaria.geometry.components import Box, largest_component
from calvaria.geometry.region import Region
from calvaria.reconstruction.surfaces.hole import polar
from calvaria.skull.vault_map import CENTRE_MM, VaultPicture, directions

MARGIN_MM = 2.0  # around the surfaces, of the voxels that are evaluated
SLAB = 16  # planes that are evaluated at a time, to bound the memory
FILM_MM = 1.2  # spacing above which an axis is not opened: a layer of one voxel may be implant


def cut_implant(vault: VaultPicture, hole: np.ndarray, bone: np.ndarray, to_head: np.ndarray) -> Region:
    """Return the voxels of a scan between both surfaces of a vault that are not bone.

    Where bone remains, it differs by a fraction of a millimetre from the surfaces. So that no film is left on
    it, the result is opened by one voxel, and grown back by one.

    Args:
        vault: with its surfaces interpolated across the hole.
        hole: (SIZE, SIZE) bool, the directions in question.
        bone: (i, j, k) bool, the remaining bone.
        to_head: (4, 4) rigid, voxel indices to millimetres from the vault's anchor.

    Returns:
        one component by faces; nothing if there is none.
    """
    from scipy.ndimage import binary_dilation, binary_opening

    known = hole & (vault.outer_mm > 0)
    box = _box(vault, known, bone.shape, to_head)
    if not known.any() or any(part.start >= part.stop for part in box):
        return Region.empty(bone.shape)
    between = ~bone[box]
    nearest, furthest = float(vault.inner_mm[known].min()), float(vault.outer_mm[known].max())
    for start in range(0, len(between), SLAB):
        slab = between[start : start + SLAB]
        points = _points((box[0].start + start, box[1].start, box[2].start), slab.shape, to_head)
        squared = sum((part - centre) ** 2 for part, centre in zip(points, CENTRE_MM, strict=True))
        slab &= (squared >= nearest**2) & (squared <= furthest**2)  # most voxels of the box are not
        slab[slab] = _between(vault, hole, points[:, slab].T)
    around = _structure(to_head)
    solid = largest_component(binary_opening(between, around), connectivity=6)
    implant = binary_dilation(solid, around) & between
    return Region(box, largest_component(implant, connectivity=6), bone.shape)


def beyond_cone(region: Region, to_head: np.ndarray) -> Region:
    """Return the voxels of a region in directions that the vault map does not show."""
    voxels = np.argwhere(region.values)
    low = np.array([part.start for part in region.box])
    _, _, inside = polar((voxels + low) @ to_head[:3, :3].T + to_head[:3, 3])
    values = np.zeros_like(region.values)
    values[tuple(voxels[~inside].T)] = True
    return replace(region, values=values)


def _points(first: tuple[int, ...], size: tuple[int, ...], to_head: np.ndarray) -> np.ndarray:
    """Return the places of a block of voxels, (3, i, j, k) float64 in mm from the anchor.

    Args:
        first: the first voxel.
        size: voxels along i, j, k.
    """
    i, j, k = (np.arange(n, dtype=np.float64) + low for low, n in zip(first, size, strict=True))
    points = np.empty((3, *size))
    for row, point in zip(to_head[:3], points, strict=True):
        point[:] = (i * row[0] + row[3])[:, None, None] + (j * row[1])[:, None] + k * row[2]
    return points


def _between(vault: VaultPicture, hole: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return whether points (n, 3), in mm from the anchor, are between the surfaces and in the hole."""
    from scipy.ndimage import map_coordinates

    pixels, radius, inside = polar(points)
    outer, inner, share = (
        map_coordinates(image, pixels.T, order=1, mode="nearest", output=np.float32)
        for image in (vault.outer_mm, vault.inner_mm, hole.astype(np.float32))
    )
    return np.asarray(inside & (share > 0.5) & (inner <= radius) & (radius <= outer))


def _box(vault: VaultPicture, known: np.ndarray, shape: tuple[int, ...], to_head: np.ndarray) -> Box:
    """Return the box around the surfaces in some directions, in voxels of the scan."""
    rays = directions()[known]
    ends = [
        CENTRE_MM + rays * (radius[known] + margin)[:, None]
        for radius, margin in ((vault.inner_mm, -MARGIN_MM), (vault.outer_mm, MARGIN_MM))
    ]
    to_scan = np.linalg.inv(to_head)
    voxels = np.concatenate(ends) @ to_scan[:3, :3].T + to_scan[:3, 3]
    low = np.maximum(np.floor(voxels.min(axis=0, initial=np.inf)), 0) if known.any() else np.zeros(3)
    high = np.minimum(np.ceil(voxels.max(axis=0, initial=-np.inf)) + 1, shape) if known.any() else low
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return x, y, z


def _structure(to_head: np.ndarray) -> np.ndarray:
    """Return the neighbours of a voxel that share a face or an edge, (3, 3, 3) bool, along fine axes only."""
    fine = np.linalg.norm(to_head[:3, :3], axis=0) <= FILM_MM
    around = np.zeros((3, 3, 3), bool)
    for step in product((-1, 0, 1), repeat=3):
        away = np.abs(step)
        if away.sum() <= 2 and not away[~fine].any():
            around[tuple(np.add(step, 1))] = True
    return around
