"""Windows: boxes around a defect, aligned to the coarse and the fine grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calvaria.config import Refine
from calvaria.geometry.grid import Grid


@dataclass(frozen=True)
class Window:
    """A box in voxels of the coarse grid."""

    low: tuple[int, int, int]
    size: tuple[int, int, int]

    def slices(self, factor: int = 1) -> tuple[slice, slice, slice]:
        """Return the same box as slices of a grid that is ``factor`` times finer."""
        x, y, z = (slice(a * factor, (a + n) * factor) for a, n in zip(self.low, self.size, strict=True))
        return x, y, z


def fine_grid(grid: Grid, factor: int) -> Grid:
    """Return the grid with ``factor`` cubed voxels in each voxel of another."""
    x, y, z = (n * factor for n in grid.shape)
    return Grid((x, y, z), grid.spacing_mm / factor)


def window_around(mask: np.ndarray, settings: Refine, grid: Grid, shift: Sequence[int] = (0, 0, 0)) -> Window:
    """Return the window around a mask (x, y, z) on the coarse grid; it lies within the grid.

    Args:
        shift: of the window's centre, in voxels.
    """
    voxels = np.argwhere(mask)
    low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
    step = settings.divisor // np.gcd(settings.divisor, settings.factor)  # whole voxels of both grids
    least = round(settings.window_mm / grid.spacing_mm)
    margin = int(np.ceil(settings.margin_mm / grid.spacing_mm))
    starts, sizes = [], []
    for a, b, n, moved in zip(low, high, grid.shape, shift, strict=True):
        length = max(least, int(b - a) + 2 * margin)
        size = min(-(-length // step) * step, n // step * step)
        start = round((a + b) / 2 - size / 2) + moved
        starts.append(min(max(start, 0), n - size))
        sizes.append(size)
    return Window((starts[0], starts[1], starts[2]), (sizes[0], sizes[1], sizes[2]))
