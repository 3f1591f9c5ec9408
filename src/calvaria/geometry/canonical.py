"""An array in the canonical storage order and the centred frame, and the inverse to its file."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from calvaria.geometry.orientation import Orientation, centred


@dataclass(frozen=True)
class Canonical:
    """Voxels that are bit-identical for every storage order of their file."""

    values: npt.NDArray[Any]  # (x, y, z), first axis fastest in memory
    affine: npt.NDArray[np.float64]  # (4, 4) voxel indices to millimetres of the centred frame
    to_centred: npt.NDArray[np.float64]  # (4, 4) shift from the file's RAS+ millimetres to the centred frame
    orientation: Orientation  # of the file

    @classmethod
    def of(cls, values: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> "Canonical":
        """Return the canonical form of values (i, j, k) with a (4, 4) affine to RAS+ millimetres."""
        orientation = Orientation.of(affine)
        # A copy with a fixed memory layout, as sums of floats depend on their order.
        turned = np.asfortranarray(orientation.to_canonical(values))
        in_file = orientation.canonical_affine(affine, values.shape)
        centred_affine = centred(in_file, turned.shape)
        shift = np.eye(4)
        shift[:3, 3] = centred_affine[:3, 3] - in_file[:3, 3]
        return cls(turned, centred_affine, shift, orientation)

    def in_file(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return values (x, y, z) in the file's order (i, j, k)."""
        return self.orientation.from_canonical(values)

    def from_file(self, to_target: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Convert a (4, 4) rigid motion from the centred frame's millimetres to one from the file's."""
        out = to_target.copy()
        # Not a matrix product, whose last bits differ between machines.
        shift = self.to_centred[:3, 3]
        out[:3, 3] += [sum(to_target[row, axis] * shift[axis] for axis in range(3)) for row in range(3)]
        return out
