"""Sub-samples in bone are counted exactly, regardless of the bricks."""

import numpy as np
import pytest

from calvaria.geometry.grid import BONE, IMPLANT, Grid
from calvaria.geometry.sampling import FRACTION_BITS, Samples
from tests.unit.heads import turn


def pieces(order: str, with_implant: bool) -> np.ndarray:
    """Return labels with bone at borders of the scan, a separate piece and, optionally, an implant."""
    labels = np.zeros((37, 30, 24), np.uint8, order=order)  # type: ignore[call-overload]
    labels[:9, 4:20, 10:] = BONE
    labels[20:33, 22:29, 3:11] = BONE
    labels[::3, ::2, ::2] = 0
    if with_implant:
        labels[6:12, 8:14, 12:20] = IMPLANT
    return labels


def one_by_one(labels: np.ndarray, to_scan: np.ndarray, grid: Grid, fineness: int) -> np.ndarray:
    """Count (2, x, y, z) sub-samples in skull and in implant one by one."""
    offsets = ((np.arange(fineness) + 0.5) / fineness - 0.5) * grid.spacing_mm
    lines = [(grid.centres(axis)[:, None] + offsets).ravel() for axis in range(3)]
    scale = 1 << FRACTION_BITS
    voxels = []
    for row in to_scan[:3]:
        x, y, z = (np.rint(line * part * scale).astype(int) for line, part in zip(lines, row, strict=False))
        start = int(np.rint((row[3] + 0.5) * scale))
        voxels.append((start + x[:, None, None] + y[None, :, None] + z[None, None, :]) >> FRACTION_BITS)
    padded = np.pad(labels, 1)
    inside = tuple(np.clip(index, -1, n) + 1 for index, n in zip(voxels, labels.shape, strict=True))
    found = padded[inside].reshape([part for n in grid.shape for part in (n, fineness)])
    return np.stack([(found > 0).sum(axis=(1, 3, 5)), (found == IMPLANT).sum(axis=(1, 3, 5))])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("with_implant", [True, False])
@pytest.mark.parametrize(("spacing_mm", "fineness"), [(1.1, 3), (3.0, 7), (2.0, 1)])
def test_every_sample_is_counted(order, with_implant, spacing_mm, fineness):
    """The grid has no whole number of bricks, and scan and grid overlap only partly."""
    labels = pieces(order, with_implant)
    grid = Grid((23, 18, 21), spacing_mm)
    to_scan = np.eye(4)
    to_scan[:3, :3] = np.diag([1.3, 0.9, 0.6]) @ turn(20, -10, 30)
    to_scan[:3, 3] = (15.2, 14.1, 11.7)
    found = Samples.of(labels).count(to_scan, grid, fineness)
    expected = one_by_one(labels, to_scan, grid, fineness)
    assert [counts.dtype for counts in found] == 2 * [np.uint16]
    assert np.array_equal(found, expected)
    assert expected[0].any()
    assert expected[1].any() == with_implant


def test_a_scan_without_bone_has_no_samples():
    skull, implant = Samples.of(np.zeros((5, 6, 7), np.uint8)).count(np.eye(4), Grid((8, 9, 10), 1.0), 3)
    assert skull.shape == implant.shape == (8, 9, 10)
    assert not skull.any()
    assert not implant.any()
