"""A defective skull in native space and on the canonical grid: the input of a prediction."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from calvaria.geometry.grid import BONE, Grid
from calvaria.geometry.resample import resample_samples
from calvaria.geometry.sampling import Samples


@dataclass(frozen=True, eq=False)
class NativeCase:
    """A defective skull. Predictions use the remaining bone, label 1, and ignore other labels."""

    labels: np.ndarray  # (x, y, z) uint8 on the canonical grid
    native_labels: np.ndarray  # (i, j, k) uint8 on the native grid
    affine: np.ndarray  # (4, 4) native voxel indices to RAS+ millimetres
    pose: np.ndarray  # (4, 4) rigid, from these millimetres to those of the canonical grid
    _samples: Samples | None = None  # of the remaining bone
    _resampled: dict[Grid, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def from_bone(
        cls,
        bone: np.ndarray,
        affine: np.ndarray,
        pose: np.ndarray,
        grid: Grid,
        samples: Samples | None = None,
    ) -> "NativeCase":
        """Resample remaining bone, (i, j, k) bool on the native grid, to a canonical grid.

        Args:
            samples: of the bone; several poses may share them.
        """
        labels = bone.view(np.uint8)
        samples = samples or Samples.of(labels)
        return cls(resample_samples(samples, affine, pose, grid), labels, affine, pose, samples)

    @cached_property
    def native_bone(self) -> np.ndarray:
        """The remaining bone, (i, j, k) bool on the native grid."""
        return np.asarray(self.native_labels == BONE)

    def bone_on(self, grid: Grid) -> np.ndarray:
        """Return the remaining bone resampled to a grid, (x, y, z) bool; cached, so predictors share it."""
        if grid not in self._resampled:
            samples = self._samples or Samples.of(self.native_bone.view(np.uint8))
            labels = resample_samples(samples, self.affine, self.pose, grid)
            self._resampled[grid] = np.asarray(labels == BONE)
        return self._resampled[grid]
