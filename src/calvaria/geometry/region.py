"""A mask of a large grid that is set in one box of it only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calvaria.geometry.components import Box


@dataclass(frozen=True, eq=False)
class Region:
    """The part of a mask outside of which nothing is set."""

    box: Box  # in voxels of the whole grid
    values: np.ndarray  # (i, j, k) bool, of the box
    shape: tuple[int, ...]  # of the whole grid

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> "Region":
        """Return a region of a grid in which nothing is set."""
        return cls((slice(0, 0),) * 3, np.zeros((0, 0, 0), bool), shape)

    @classmethod
    def of(cls, mask: np.ndarray) -> "Region":
        """Return the region of a whole mask, (i, j, k) bool."""
        x, y, z = (slice(0, n) for n in mask.shape)
        return cls((x, y, z), mask, mask.shape)

    def whole(self) -> np.ndarray:
        """Return the whole mask, (i, j, k) bool."""
        mask = np.zeros(self.shape, bool)
        mask[self.box] = self.values
        return mask


def count_votes(regions: Sequence[Region]) -> tuple[Box, np.ndarray]:
    """Return the box around all regions of a grid that have voxels, and in how many each voxel is set.

    Returns:
        slices, empty if no region has voxels, and (i, j, k) uint8 of that box.
    """
    boxes = [region.box for region in regions if region.values.size]
    if not boxes:
        return (slice(0, 0),) * 3, np.zeros((0, 0, 0), np.uint8)
    x, y, z = (
        slice(min(part.start for part in axis), max(part.stop for part in axis))
        for axis in zip(*boxes, strict=True)
    )
    votes = np.zeros([part.stop - part.start for part in (x, y, z)], np.uint8)
    for region in regions:
        place = [
            slice(part.start - whole.start, part.stop - whole.start)
            for part, whole in zip(region.box, (x, y, z), strict=True)
        ]
        if region.values.size:
            votes[tuple(place)] += region.values
    return (x, y, z), votes
