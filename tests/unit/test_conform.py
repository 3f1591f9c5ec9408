"""Conforming keeps bone volume, pose and labels, whatever the scan's spacing and directions."""

from dataclasses import replace

import numpy as np
import pytest

from calvaria.anatomy import extent, measure
from calvaria.errors import InputError
from calvaria.grid import IMPLANT, Grid
from calvaria.sources import Scan
from calvaria.sources.conform import conform

# No sample lies just between two voxels of the 4.5 mm scan, where rounding would decide.
TARGET = Grid((40, 48, 40), 4.6)


@pytest.fixture
def scan(dome, grid) -> Scan:
    labels = dome.copy()
    labels[:12][labels[:12] > 0] = IMPLANT
    return Scan("dome", "dome", labels, grid.affine)


def test_the_vault_stands_where_it_should(scan, grid):
    labels = conform(scan, grid, top_margin_mm=9.0)
    low, high = extent(labels, grid)
    assert np.allclose((low + high)[:2], 0, atol=grid.spacing_mm)
    assert high[2] == pytest.approx(grid.extent_mm[2] / 2 - 9.0, abs=grid.spacing_mm)


def test_a_shifted_scan_gives_the_same_result(scan):
    moved = scan.affine.copy()
    moved[:3, 3] += (13.0, -250.0, 40.0)
    shifted = replace(scan, affine=moved)
    assert np.array_equal(conform(scan, TARGET, 9.0), conform(shifted, TARGET, 9.0))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flips", [(), (0,), (1, 2)])
def test_axis_order_and_direction_of_the_file_do_not_matter(scan, grid, axes, flips):
    """The same head stored in another orientation, with the affine to match."""
    labels, affine = scan.labels, scan.affine
    for axis in flips:
        labels = np.flip(labels, axis)
        affine = affine.copy()
        affine[:3, 3] += affine[:3, axis] * (labels.shape[axis] - 1)
        affine[:3, axis] *= -1
    affine = affine[:, [*axes, 3]]
    stored = Scan("dome", "dome", np.ascontiguousarray(labels.transpose(axes)), affine)
    assert np.array_equal(conform(stored, TARGET, 9.0), conform(scan, TARGET, 9.0))


def test_coarser_grids_keep_bone_volume_and_a_closed_vault(scan, grid):
    coarse = Grid((32, 40, 32), 6.0)
    labels = conform(scan, coarse, 9.0)
    before, after = measure(scan.labels, grid), measure(labels, coarse)
    assert after.volume_ml == pytest.approx(before.volume_ml, rel=0.05)
    assert after.hole_area_mm2 < 200


def test_implant_stays_on_its_side(scan, grid):
    labels = conform(scan, grid, 9.0)
    assert np.argwhere(labels == IMPLANT)[:, 0].max() <= grid.shape[0] // 2
    share = np.count_nonzero(labels == IMPLANT) / np.count_nonzero(labels)
    wanted = np.count_nonzero(scan.labels == IMPLANT) / np.count_nonzero(scan.labels)
    assert share == pytest.approx(wanted, rel=0.1)


def test_a_vault_larger_than_the_box_is_refused(scan):
    with pytest.raises(InputError, match=r"dome: the vault is .* mm wide, the grid holds 80 mm"):
        conform(scan, Grid((16, 64, 40), 5.0), 9.0)


@pytest.mark.real
def test_real_skulls_keep_their_bone(real_skulls):
    """At 3.75 mm, nearly four times the spacing of the files."""
    from calvaria.sources import folder

    grid = Grid((48, 56, 48), 3.75)
    for name in ("000", "037"):  # 037 has the thinnest vault of the set
        scan = folder.read(real_skulls / f"{name}.nii.gz")
        labels = conform(scan, grid, 10.0)
        native_ml = np.count_nonzero(scan.labels) / 1000
        assert np.count_nonzero(labels) * 3.75**3 / 1000 == pytest.approx(native_ml, rel=0.03)
        assert measure(labels, grid).hole_area_mm2 < 500
