"""A defective skull in native space and on the canonical grid: the input of a prediction."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from calvaria.geometry.grid import BONE, Grid
from calvaria.geometry.resample import resample_samples
from calvaria.geometry.sampling import Samples
from calvaria.skull.vault_map import VaultPicture, picture_vault


def to_anchor(to_box: np.ndarray, anchor_mm: float) -> np.ndarray:
    """Return a (4, 4) transform to canonical millimetres with the vault's anchor as origin."""
    moved = to_box.copy()
    moved[2, 3] -= anchor_mm
    return moved


@dataclass(frozen=True, eq=False)
class NativeCase:
    """A defective skull. Predictions use the remaining bone, label 1, and ignore other labels."""

    labels: np.ndarray  # (x, y, z) uint8 on the canonical grid
    native_labels: np.ndarray  # (i, j, k) uint8 on the native grid
    affine: np.ndarray  # (4, 4) native voxel indices to RAS+ millimetres
    pose: np.ndarray  # (4, 4) rigid, from these millimetres to those of the canonical grid
    _vaults: dict[float, VaultPicture] = field(default_factory=dict, init=False, repr=False)

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
        return cls(resample_samples(samples or Samples.of(labels), affine, pose, grid), labels, affine, pose)

    @cached_property
    def native_bone(self) -> np.ndarray:
        """The remaining bone, (i, j, k) bool on the native grid."""
        return np.asarray(self.native_labels == BONE)

    def to_head(self, anchor_mm: float) -> np.ndarray:
        """Return (4, 4) native voxel indices to millimetres from the vault's anchor.

        Args:
            anchor_mm: height of the anchor on the canonical grid.
        """
        return to_anchor(self.pose @ self.affine, anchor_mm)

    def vault(self, anchor_mm: float) -> VaultPicture:
        """Return the vault of the remaining bone, at native resolution; cached, for several predictors."""
        if anchor_mm not in self._vaults:
            bone = self.native_bone.view(np.uint8)
            self._vaults[anchor_mm] = picture_vault(bone, np.eye(4), self.to_head(anchor_mm))
        return self._vaults[anchor_mm]
