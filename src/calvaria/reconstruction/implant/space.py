"""Signed distances around a defect, on an isotropic grid along the scan's own axes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from calvaria.geometry.components import bounding_box, centroid

FINEST_MM, COARSEST_MM = 0.5, 0.8  # spacing of the grid
MARGIN_MM = 6.0  # around the implant
BLUR_VOXELS = 0.7  # sd, of masks before their surface is taken


@dataclass(frozen=True)
class Space:
    """Distance fields around a defect; positions are in mm from the first sample, along the scan's axes."""

    bone_mm: np.ndarray  # (i, j, k) float32 signed distance to the remaining bone's surface, positive outside
    implant_mm: np.ndarray  # (i, j, k) float32, likewise of the predicted implant
    spacing_mm: float
    to_patient: np.ndarray  # (4, 4) positions to RAS+ millimetres; includes a reflection of the scan's axes
    outward: np.ndarray  # (3,) unit vector from the centroid of bone to that of the implant

    def at(self, field: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Return (n,) values of a field at (n, 3) positions; beyond the field, those of its border."""
        from scipy.ndimage import map_coordinates

        index = (positions / self.spacing_mm).T
        return np.asarray(map_coordinates(field, index, order=1, mode="nearest"))

    @cached_property
    def _least_bone_mm(self) -> np.ndarray:
        """(i, j, k) float32 minimum distance from bone of each sample and its 26 neighbours."""
        from scipy.ndimage import minimum_filter

        return np.asarray(minimum_filter(self.bone_mm, 3))

    def may_be_nearer(self, positions: np.ndarray, limit_mm: np.ndarray | float) -> np.ndarray:
        """Return (n,) bool: False where ``at`` finds bone no nearer than a limit at (n, 3) positions.

        An interpolated value is at least the minimum of the samples around it, which is faster to look up.
        """
        samples = [
            np.clip(np.rint(place / self.spacing_mm), 0, n - 1).astype(np.intp)
            for place, n in zip(positions.T, self.bone_mm.shape, strict=True)
        ]
        return np.asarray(self._least_bone_mm[tuple(samples)] < limit_mm)


def space_around(implant: np.ndarray, bone: np.ndarray, affine: np.ndarray) -> Space:
    """Return the space around an implant.

    Args:
        implant: (i, j, k) bool, the predicted implant; not empty.
        bone: (i, j, k) bool, the remaining bone; not empty.
        affine: (4, 4) voxel indices to RAS+ millimetres, with perpendicular axes.
    """
    from scipy.ndimage import affine_transform, gaussian_filter

    voxel = np.linalg.norm(affine[:3, :3], axis=0)
    spacing = float(np.clip(voxel.min(), FINEST_MM, COARSEST_MM))
    box = bounding_box(implant)
    assert box is not None, "the implant is not empty"
    margin = np.ceil(MARGIN_MM / voxel).astype(int)
    low = np.array([part.start for part in box]) - margin
    high = np.array([part.stop for part in box]) + margin
    size = tuple(np.ceil((high - low) * voxel / spacing).astype(int))

    def distances(mask: np.ndarray) -> np.ndarray:
        block = _window(mask, low, high)
        blurred = gaussian_filter(block, BLUR_VOXELS * voxel.max() / voxel)
        fine = affine_transform(blurred, np.diag(spacing / voxel), output_shape=size, order=1, mode="nearest")
        return _signed_distance(fine, spacing)

    matrix = np.eye(4)
    matrix[:3, :3] = affine[:3, :3] / voxel
    matrix[:3, 3] = affine[:3, :3] @ low + affine[:3, 3]
    towards = (centroid(implant) - centroid(bone)) * voxel
    return Space(distances(bone), distances(implant), spacing, matrix, towards / np.linalg.norm(towards))


def _window(mask: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return a part of a mask (i, j, k) bool as float32, zero beyond its borders."""
    block = np.zeros(high - low, np.float32)
    inside = [slice(max(a, 0), min(b, n)) for a, b, n in zip(low, high, mask.shape, strict=True)]
    target = [slice(part.start - a, part.stop - a) for part, a in zip(inside, low, strict=True)]
    block[tuple(target)] = mask[tuple(inside)]
    return block


def _signed_distance(occupancy: np.ndarray, spacing: float) -> np.ndarray:
    """Return the distance in mm to the surface at occupancy 0.5; near it, sub-voxel by the gradient."""
    import edt

    inside = np.asfortranarray(occupancy >= 0.5)
    anisotropy = (spacing,) * 3
    away = edt.edt(~inside, anisotropy=anisotropy, parallel=1) - edt.edt(
        inside, anisotropy=anisotropy, parallel=1
    )
    away = away - np.where(away > 0, spacing, -spacing) / 2
    slope = np.sqrt(sum(part**2 for part in np.gradient(occupancy, spacing)))
    near = (0.5 - occupancy) / np.maximum(slope, 1e-3)
    return np.where(np.abs(away) < 1.5 * spacing, np.clip(near, -2 * spacing, 2 * spacing), away).astype(
        np.float32
    )
