"""Array axes in the order and direction closest to RAS+, by transposing and flipping alone.

A file may store the same voxels in 48 orders of axes. All computations start from one of them, so that
no result depends on the file's order.
"""

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Orientation:
    """The correspondence of an array's axes to those of the array closest to RAS+."""

    axes: tuple[int, int, int]  # the array's axis that runs along x, along y, along z
    flipped: tuple[bool, bool, bool]  # whether that axis runs towards left, back, bottom

    @classmethod
    def of(cls, affine: npt.NDArray[np.float64]) -> "Orientation":
        """Return the orientation of an array with a (4, 4) affine from voxel indices to RAS+ millimetres."""
        cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        axes = max(
            permutations(range(3)),
            key=lambda order: sum(abs(cosines[row, column]) for row, column in enumerate(order)),
        )
        flipped = tuple(bool(cosines[row, column] < 0) for row, column in enumerate(axes))
        return cls((axes[0], axes[1], axes[2]), (flipped[0], flipped[1], flipped[2]))

    def to_canonical(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view (x, y, z) of an array (i, j, k)."""
        turned = values.transpose(self.axes)
        return np.flip(turned, [axis for axis in range(3) if self.flipped[axis]])

    def from_canonical(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the view (i, j, k) of an array (x, y, z) that ``to_canonical`` maps back to it."""
        turned = np.flip(values, [axis for axis in range(3) if self.flipped[axis]])
        return turned.transpose(np.argsort(self.axes))

    def canonical_affine(
        self, affine: npt.NDArray[np.float64], shape: tuple[int, ...]
    ) -> npt.NDArray[np.float64]:
        """Return the (4, 4) affine of the canonical view of an array with this affine and shape."""
        out = affine.copy()
        for target, source in enumerate(self.axes):
            column = affine[:3, source]
            out[:3, target] = column
            if self.flipped[target]:
                out[:3, 3] += column * (shape[source] - 1)
                out[:3, target] = -column
        return out


def centred(affine: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return the (4, 4) affine with the array's centre at the origin.

    Origins are rounded differently in each storage order, directions are not: in this frame, equal scans
    are bit-identical.
    """
    out = affine.copy()
    middle = [(n - 1) / 2 for n in shape]
    out[:3, 3] = [-sum(affine[row, axis] * middle[axis] for axis in range(3)) for row in range(3)]
    return out
