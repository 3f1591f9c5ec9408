"""Cut a defect into a skull on its native grid, which may be oblique and anisotropic.

`calvaria.defects.apply` does the same on the canonical grid. Shapes are analytic, so every voxel's
centre is transformed into the head's frame and tested there; nothing is resampled.
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from calvaria.defects.apply import Window, around, taken
from calvaria.defects.defect import Defect
from calvaria.geometry.components import settle
from calvaria.geometry.grid import BACKGROUND, IMPLANT, Grid
from calvaria.skull.vault import Vector


@dataclass(frozen=True)
class OwnGrid:
    """The voxels of a file, in the frame in which defects are drawn."""

    shape: tuple[int, int, int]
    to_head: np.ndarray  # (4, 4) voxel indices to millimetres of the head's frame

    @classmethod
    def of(cls, shape: tuple[int, ...], affine: np.ndarray, to_box: np.ndarray) -> "OwnGrid":
        """Return the grid of a scan, given its (4, 4) affine and (4, 4) rigid pose from its millimetres."""
        # Not a matrix product, whose last bits differ between machines.
        matrix = [[sum(to_box[r, m] * affine[m, c] for m in range(4)) for c in range(4)] for r in range(4)]
        i, j, k = shape
        return cls((i, j, k), np.array(matrix, np.float64))

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(abs(np.linalg.det(self.to_head[:3, :3]))) / 1000

    @property
    def stand_in(self) -> Grid:
        """An isotropic grid with as many voxels, each of the same volume, for checks that only count."""
        return Grid(self.shape, float(np.cbrt(self.voxel_ml * 1000)))

    def positions(self, index: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return x, y, z in mm of the head's frame, (n,) float64 each, of voxels at (n,) indices."""
        i, j, k = index
        x, y, z = (row[0] * i + row[1] * j + row[2] * k + row[3] for row in self.to_head[:3])
        return x, y, z

    def window(self, low: Vector, high: Vector, margin_mm: float) -> Window:
        """Return slices of the voxels whose centres may be in a box of the head's frame, with a margin."""
        sides = [(a - margin_mm, b + margin_mm) for a, b in zip(low, high, strict=True)]
        corners = np.array([(*corner, 1.0) for corner in product(*sides)]) @ np.linalg.inv(self.to_head).T
        slices = []
        for n, least, most in zip(self.shape, corners.min(axis=0), corners.max(axis=0), strict=False):
            first, last = math.floor(least) - 1, math.ceil(most) + 1
            slices.append(slice(min(max(first, 0), n), min(max(last + 1, 0), n)))
        return slices[0], slices[1], slices[2]


def cut(skull: np.ndarray, native: OwnGrid, defect: Defect, conformed: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the label volume of a case on the skull's native grid.

    Args:
        skull: (i, j, k) bool or uint8 complete skull, bone where it is not 0.
        native: the skull's grid.
        defect: drawn on ``conformed``.
        conformed: (x, y, z) the same skull on the isotropic ``grid``, in which healing measures thickness.

    Returns:
        (i, j, k) uint8: 0 background, 1 remaining bone, 2 implant; it is > 0 exactly where the skull is,
        except beyond the planes of ``defect.unseen``, where it is 0.
    """
    labels: np.ndarray = np.not_equal(skull, 0).view(np.uint8)
    margin = 0.0 if defect.healing is None else defect.healing.width_mm
    windows = [native.window(*shape.bounds_mm(), margin) for shape in defect.shapes]
    for shape, window in zip(defect.shapes, windows, strict=True):
        block = labels[window]
        voxels = np.nonzero(block)
        whole = tuple(index + side.start for index, side in zip(voxels, window, strict=True))
        x, y, z = native.positions(whole)
        near = np.flatnonzero(defect.vault.contains(x, y, z))
        gone = near[taken(defect, shape, (x[near], y[near], z[near]), conformed, grid)]
        block[tuple(index[gone] for index in voxels)] = IMPLANT
    settle(labels, around(windows))
    for plane in defect.unseen:
        _hide(labels, native, plane.normal, plane.offset_mm)
    return labels


def _hide(labels: np.ndarray, native: OwnGrid, normal: Vector, offset_mm: float) -> None:
    """Set all voxels beyond a plane to background."""
    steps = [sum(normal[row] * native.to_head[row, column] for row in range(3)) for column in range(4)]
    i, j, k = (np.arange(n, dtype=np.float64) * step for n, step in zip(native.shape, steps, strict=False))
    plane = i[:, None] + j[None, :]
    for number, height in enumerate(k):
        labels[:, :, number][plane + height > offset_mm - steps[3]] = BACKGROUND
