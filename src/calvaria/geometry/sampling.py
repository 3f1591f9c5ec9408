"""Counts of the sub-samples of every target voxel that lie in the bone of a scan.

Positions are integers in fixed-point arithmetic, so the counts are the same on every machine. Most of the
target grid is far from bone: bricks of target voxels are halved as long as they may contain bone, and only
the remaining ones are sampled.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from calvaria.geometry.blocks import occupied
from calvaria.geometry.components import bounding_box
from calvaria.geometry.grid import IMPLANT, Grid

FRACTION_BITS = 16  # of fixed-point voxel positions: 2^-16 voxel, up to 2^15 voxels per axis
BLOCK = 2  # scan voxels along each edge of a block; for each block it is known whether it contains bone
LARGEST_BRICK = 16  # target voxels along each edge
LEAST_SAMPLES = 200  # of a brick; halving one with fewer costs more than it saves
CHUNK = 1 << 15  # samples processed at a time, so that intermediate results fit into the processor's cache

_ANY_LABEL = 255


@dataclass(frozen=True, eq=False)
class Samples:
    """The labelled part of a scan, prepared for sampling on several grids or at several poses."""

    labels: np.ndarray  # (i, j, k) uint8, the box with all labels and a margin; 0 and 1 if no implant
    start: np.ndarray  # (3,) int64, voxel of the scan at index 0
    implant: bool  # whether any label is an implant
    occupied: np.ndarray  # (a, b, c) int32, number of labelled blocks before each block, on all axes

    @classmethod
    def of(cls, labels: np.ndarray) -> "Samples":
        """Return the samples of labels (i, j, k) uint8: 0 background, 1 bone, 2 implant."""
        box = bounding_box(labels, _ANY_LABEL) or (slice(0, 0),) * 3
        inner = labels[box]
        shape = [n + 2 for n in inner.shape]
        padded = np.zeros(shape, np.uint8, order="F" if _is_fortran(inner) else "C")
        implant = bool((inner == IMPLANT).any())
        padded[tuple(slice(1, n + 1) for n in inner.shape)] = inner if implant else inner != 0
        start = np.array([part.start - 1 for part in box], np.int64)
        return cls(padded, start, implant, _blocks_before(padded))

    def count(self, to_scan: np.ndarray, grid: Grid, fineness: int) -> tuple[np.ndarray, np.ndarray]:
        """Return sub-samples in skull and in implant per target voxel, (x, y, z) uint16 or uint32 each.

        Args:
            to_scan: (4, 4) millimetres of the grid to voxel indices of the scan.
            fineness: sub-samples along each edge of a target voxel.
        """
        size = _smallest_brick(fineness)
        whole = [-(-n // LARGEST_BRICK) * LARGEST_BRICK for n in grid.shape]
        positions = _Positions.of(to_scan, grid, fineness, whole, self.start)
        # Each brick's voxels are kept together, so that they are written at once.
        split = [part for n in whole for part in (n // size, size)]
        skull = np.zeros(split, _count_type(fineness))
        implant = np.zeros(split if self.implant else 6 * (0,), skull.dtype)
        for bricks, within in self._bricks(positions, size, whole):
            step = max(1, CHUNK // (size**3 * fineness))
            for first in range(0, bricks.shape[1], step):
                some = bricks[:, first : first + step]
                counts = self._counts(positions.of_bricks(some, size), within)
                x, y, z = some
                for target, found in zip((skull, implant), counts, strict=False):
                    target[x, :, y, :, z, :] = np.moveaxis(found, -1, 0)
        part = tuple(slice(n) for n in grid.shape)
        none = np.zeros(grid.shape, skull.dtype)
        return skull.reshape(whole)[part], implant.reshape(whole)[part] if self.implant else none

    def _bricks(
        self, positions: "_Positions", smallest: int, whole: list[int]
    ) -> list[tuple[np.ndarray, bool]]:
        """Return the smallest bricks that may contain bone: those sampled within the box alone, and others.

        Returns:
            twice (3, n), indices in bricks along x, y, z, and whether they sample the box alone.
        """
        size = LARGEST_BRICK
        bricks = np.indices([n // size for n in whole]).reshape(3, -1)
        while True:
            low, high = positions.bounds(bricks, size)
            kept = self._may_hold_bone(low, high)
            bricks = bricks[:, kept]
            if size == smallest:
                limits = np.array(self.labels.shape)[:, None]
                within = np.asarray(((low >= 0) & (high < limits)).all(axis=0))[kept]
                return [(bricks[:, within], True), (bricks[:, ~within], False)]
            halves = np.indices((2, 2, 2)).reshape(3, 1, -1)
            bricks, size = (2 * bricks[:, :, None] + halves).reshape(3, -1), size // 2

    def _may_hold_bone(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return (n,) bool: whether the blocks of voxels, (3, n) first and last, contain bone."""
        before = self.occupied
        limits = np.array(before.shape)[:, None] - 1
        first = np.clip(low // BLOCK, 0, limits)
        last = np.clip(high // BLOCK + 1, 0, limits)
        sides = list(zip(first, last, strict=True))
        found = np.zeros(low.shape[1], np.int32)
        for ends in product((0, 1), repeat=3):
            corner = tuple(side[end] for side, end in zip(sides, ends, strict=True))
            found += before[corner] if sum(ends) % 2 else -before[corner]
        return found > 0

    def _counts(self, parts: list[list[np.ndarray]], within: bool) -> tuple[np.ndarray, ...]:
        """Count sub-samples in skull, and in implant if there is any, of n bricks, (size, size, size, n).

        Args:
            parts: the bricks' positions; see ``_Positions.of_bricks``.
            within: whether all positions are within the labels.
        """
        fortran = _is_fortran(self.labels)
        flat = self.labels.ravel("F" if fortran else "C")
        # Beginning with the axis that is the fastest in memory, whose step is 1.
        axes = (0, 1, 2) if fortran else (2, 1, 0)
        size, fineness, count = parts[0][0].shape
        kind = _count_type(fineness)
        counts = tuple(np.zeros((size, size, size, count), kind) for _ in range(1 + self.implant))
        lines = [row[2].reshape(size * fineness, count) for row in parts]
        shape = (size, size, size * fineness, count)
        place, index = np.empty(shape, np.int32), np.empty(shape, np.int32)
        wide, found = np.empty(shape, np.intp), np.empty(shape, np.uint8)
        for sheet in _sheets(parts):
            for axis in axes:
                target = index if axis == axes[0] else place
                np.add(sheet[axis][:, :, None], lines[axis], out=target)
                np.right_shift(target, FRACTION_BITS, out=target)
                if not within:  # voxels beyond the box are background, as its border is
                    np.clip(target, 0, self.labels.shape[axis] - 1, out=target)
                if axis != axes[0]:
                    place *= np.int32(self.labels.strides[axis])
                    index += place
            np.copyto(wide, index)
            flat.take(wide, out=found, mode="clip")  # nothing is clipped; the default mode is slower
            blocks = found.reshape(size, size, size, fineness, count)
            for z in range(fineness):
                each = blocks[:, :, :, z]
                if self.implant:
                    counts[1][...] += each == IMPLANT
                    each = each != 0
                counts[0][...] += each
        return counts


def _sheets(parts: list[list[np.ndarray]]) -> Iterator[list[np.ndarray]]:
    """Yield, for each pair of sub-samples along x and y, the sums of their parts of every voxel axis."""
    fineness = parts[0][0].shape[1]
    for x, y in product(range(fineness), repeat=2):
        yield [row[0][:, x][:, None] + row[1][:, y][None, :] for row in parts]


@dataclass(frozen=True)
class _Positions:
    """Fixed-point voxel positions of sub-samples, as sums of one part for each axis of the grid."""

    parts: list[list[np.ndarray]]  # of each voxel axis and grid axis: (n, fineness) int64
    fineness: int

    @classmethod
    def of(
        cls, to_scan: np.ndarray, grid: Grid, fineness: int, whole: list[int], start: np.ndarray
    ) -> "_Positions":
        """Return positions on a grid extended to the shape ``whole``, relative to the voxel ``start``."""
        offsets = ((np.arange(fineness) + 0.5) / fineness - 0.5) * grid.spacing_mm
        scale = float(1 << FRACTION_BITS)
        # With the half, flooring by a shift rounds to the nearest voxel.
        first = np.rint((to_scan[:3, 3] + 0.5) * scale).astype(np.int64) - (start << FRACTION_BITS)
        parts = []
        for row in range(3):
            axes = []
            for axis in range(3):
                along = np.rint((grid.centres(axis)[:, None] + offsets) * to_scan[row, axis] * scale)
                beyond = whole[axis] - grid.shape[axis]
                axes.append(np.pad(along.astype(np.int64), ((0, beyond), (0, 0)), mode="edge"))
            axes[0] += first[row]
            parts.append(axes)
        return cls(parts, fineness)

    def bounds(self, bricks: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the first and last voxels, (3, n) int64 each, that bricks (3, n) may sample."""
        sums = np.zeros((2, 3, bricks.shape[1]), np.int64)
        for row in range(3):
            for axis in range(3):
                each = self.parts[row][axis].reshape(-1, size * self.fineness)
                sums[0, row] += each.min(axis=1)[bricks[axis]]
                sums[1, row] += each.max(axis=1)[bricks[axis]]
        low, high = sums >> FRACTION_BITS
        return low, high

    def of_bricks(self, bricks: np.ndarray, size: int) -> list[list[np.ndarray]]:
        """Return parts of bricks (3, n), of each voxel axis and grid axis: (size, fineness, n) int32."""
        parts = []
        for row in range(3):
            axes = []
            base = np.zeros(bricks.shape[1], np.int64)
            for axis in range(3):
                each = self.parts[row][axis].reshape(-1, size, self.fineness)[bricks[axis]]
                if axis:  # offsets within the brick; its first sample's position moves to the first part
                    base += each[:, 0, 0]
                    each = each - each[:, :1, :1]
                axes.append(each)
            axes[0] = axes[0] + base[:, None, None]
            parts.append([np.ascontiguousarray(np.moveaxis(each, 0, -1), np.int32) for each in axes])
        return parts


def _count_type(fineness: int) -> type[np.unsignedinteger[Any]]:
    return np.uint16 if fineness**3 < 1 << 16 else np.uint32


def _smallest_brick(fineness: int) -> int:
    size = 1
    while (size * fineness) ** 3 < LEAST_SAMPLES and size < LARGEST_BRICK:
        size *= 2
    return size


def _is_fortran(values: np.ndarray) -> bool:
    """Return whether an array's first axis is the fastest in memory."""
    return bool(values.strides[0] < values.strides[-1])


def _blocks_before(labels: np.ndarray) -> np.ndarray:
    """Return (a + 1, b + 1, c + 1) int32: the number of labelled blocks before each, on all axes."""
    blocks = occupied(labels, BLOCK)
    before = np.zeros([n + 1 for n in blocks.shape], np.int32)
    before[1:, 1:, 1:] = blocks
    for axis in range(3):
        np.cumsum(before, axis=axis, out=before)
    return before
