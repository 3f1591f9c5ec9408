"""The canonical grid: the box of voxels to which every skull of a run is resampled.

Arrays are indexed ``[x, y, z]`` in RAS+ orientation: x grows to the patient's right, y to the front,
z to the top of the head. World coordinates are millimetres with their origin at the centre of the box.
"""

from dataclasses import dataclass

import numpy as np

# Labels of a case: a single volume from which skull, defective skull and implant are derived.
BACKGROUND, BONE, IMPLANT = 0, 1, 2


@dataclass(frozen=True)
class Grid:
    """An isotropic box of voxels, centred on the world's origin."""

    shape: tuple[int, int, int]  # voxels along x, y, z
    spacing_mm: float

    @property
    def affine(self) -> np.ndarray:
        """(4, 4) float64 matrix from voxel indices to RAS+ millimetres."""
        affine = np.diag([self.spacing_mm] * 3 + [1.0])
        affine[:3, 3] = [-(n - 1) / 2 * self.spacing_mm for n in self.shape]
        return affine

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Edge lengths of the box along x, y, z."""
        x, y, z = (n * self.spacing_mm for n in self.shape)
        return x, y, z

    def centres(self, axis: int) -> np.ndarray:
        """Return (shape[axis],) float64 positions in mm of the voxel centres along one axis."""
        n = self.shape[axis]
        return (np.arange(n, dtype=np.float64) - (n - 1) / 2) * self.spacing_mm
