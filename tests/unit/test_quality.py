"""Every fault and every doubt of a skull is reported, and sound skulls have none."""

from dataclasses import replace

import numpy as np
import pytest

from calvaria.geometry.canonical import Canonical
from calvaria.geometry.grid import IMPLANT, Grid
from calvaria.skull.examine import examine, find_head
from calvaria.skull.pose import Pose
from calvaria.skull.quality import check_pose, hole_areas
from calvaria.sources import Scan
from tests.unit.heads import head, moved, stored, turn, with_hole

GRID, LARGE = Grid((48, 56, 48), 3.75), Grid((72, 96, 80), 3.75)


def verdict(scan: Scan, grid: Grid = GRID, top_margin_mm: float = 10.0) -> tuple[str | None, set[str]]:
    """Return the fault, if any, and the doubts."""
    found = examine(scan, grid, top_margin_mm)
    return found.fault and found.fault.verdict, {doubt.verdict for doubt in found.doubts}


SOUND: tuple[None, set[str]] = (None, set())


def solid(scan: Scan) -> Scan:
    from scipy.ndimage import binary_fill_holes

    labels = np.stack([binary_fill_holes(slice_) for slice_ in np.moveaxis(scan.labels, 2, 0)], axis=2)
    return replace(scan, labels=labels.astype(np.uint8))


def crumbled(scan: Scan) -> Scan:
    rng = np.random.default_rng(0)
    return replace(scan, labels=scan.labels * (rng.random(scan.labels.shape) < 0.08).astype(np.uint8))


def sliced(scan: Scan) -> Scan:
    """Cut a scan into slabs of 26 mm, by gaps of one voxel."""
    labels = scan.labels.copy()
    labels[:, :, ::14] = 0
    return replace(scan, labels=labels)


def thickened(scan: Scan) -> Scan:
    from scipy.ndimage import binary_dilation

    return replace(scan, labels=binary_dilation(np.pad(scan.labels > 0, 3), iterations=2).astype(np.uint8))


def topless(scan: Scan) -> Scan:
    return replace(scan, labels=scan.labels[:, :, : -round(25 / 2.0)])


def sieve(scan: Scan) -> Scan:
    """Cut holes of 6 mm into the whole upper vault."""
    labels = scan.labels.copy()
    top = labels.shape[2] - round(40 / 2.0)
    for x in range(0, labels.shape[0], 8):
        for y in range(0, labels.shape[1], 8):
            labels[x : x + 3, y : y + 3, top:] = 0
    return replace(scan, labels=labels)


@pytest.mark.parametrize("number", range(4))
def test_sound_skulls_are_accepted(number):
    assert verdict(head(number)) == SOUND


FAULTS = {
    "empty": (lambda scan: replace(scan, labels=0 * scan.labels), "empty"),
    "in metres": (lambda scan: replace(scan, affine=scan.affine / 1000), "size"),
    "too large": (lambda scan: replace(scan, affine=scan.affine * 1.5), "size"),
    "too small": (lambda scan: replace(scan, affine=scan.affine * 0.6), "size"),
    "crumbled": (crumbled, "not a skull"),
    "lower half": (lambda scan: replace(scan, labels=scan.labels[:, :, :40]), "not a skull"),
    "mirrored": (lambda scan: moved(scan, np.diag([1.0, -1.0, 1.0])), "orientation"),
    "all ones": (lambda scan: replace(scan, labels=np.ones_like(scan.labels)), "size"),
    "solid": (solid, "thickness"),
    "small hole": (lambda scan: with_hole(scan, 20), "defective"),
    "large hole": (lambda scan: with_hole(scan, 50), "defective"),
}
DOUBTS = {
    "sliced": (sliced, "fragmented"),
    "topless": (topless, "vault cut off"),
    "thickened": (thickened, "thickness"),
    "sieve": (sieve, "vault open"),
    "rather large": (lambda scan: replace(scan, affine=scan.affine * 1.2), "size"),
}


@pytest.mark.parametrize(("spoil", "expected"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named(spoil, expected):
    assert verdict(spoil(head(1)))[0] == expected


@pytest.mark.parametrize(("spoil", "expected"), DOUBTS.values(), ids=DOUBTS)
def test_what_is_unusual_is_a_doubt(spoil, expected):
    fault, doubts = verdict(spoil(head(1)), LARGE, 30.0)
    assert fault is None
    assert expected in doubts


@pytest.mark.parametrize(("residual_mm", "severity"), [(1.5, None), (1.7, "doubt"), (2.9, "fault")])
def test_a_surface_unlike_a_skull_s_is_a_doubt_and_then_a_fault(residual_mm, severity):
    pose = Pose(np.eye(3), np.zeros(3), np.ones(3), residual_mm, 1.0, True)
    assert [one.severity for one in check_pose(pose)] == ([severity] if severity else [])


def test_what_covers_little_of_a_vault_is_not_a_skull():
    for coverage, expected in ((0.35, []), (0.25, ["not a skull"])):
        pose = Pose(np.eye(3), np.zeros(3), np.ones(3), 1.0, coverage, True)
        assert [one.verdict for one in check_pose(pose)] == expected


def test_a_cut_off_vault_is_no_hole():
    """The part beyond the field of view is not a defect, but a defect next to it is detected."""
    own = Canonical.of(topless(head(1)).labels, head(1).affine)
    areas = hole_areas(find_head(own, GRID, 10.0).vault)
    assert areas.largest_cm2 < 0.5
    assert areas.cut_cm2 == pytest.approx(65, abs=5)
    low = with_hole(head(1), 35, towards=(1.0, 0.2, 0.3))
    both = Canonical.of(topless(low).labels, low.affine)
    assert hole_areas(find_head(both, GRID, 10.0).vault).largest_cm2 > 15


def test_an_implant_closes_the_vault():
    assert verdict(with_hole(head(1), 40, IMPLANT)) == SOUND


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flips", [(), (0,), (1, 2)])
def test_the_file_s_storage_order_changes_nothing(axes, flips):
    """Labels and vault are bit-identical; the inverse differs only by rounding of the file's origins."""
    scan = replace(head(1), affine=moved(head(1), turn(8, -5, 10), (30.1, -20.7, 100.3)).affine)
    first, other = examine(scan, GRID, 10.0), examine(stored(scan, axes, flips), GRID, 10.0)
    assert np.array_equal(other.labels, first.labels)
    assert np.array_equal(other.vault.outer_mm, first.vault.outer_mm)
    assert np.allclose(other.to_box, first.to_box, rtol=0, atol=1e-9)


def test_a_vault_larger_than_the_grid_is_named_with_what_to_do():
    fault = examine(head(0), Grid((32, 56, 48), 3.75), 10.0).fault
    assert fault is not None
    assert fault.verdict == "too large"
    assert "along x; enlarge grid.shape" in fault.reason


def test_the_vault_stands_at_its_place():
    """It is centred in x and y with its top below the margin, approximately so for unusual heads."""
    from calvaria.skull.measures import extent

    for number in range(3):
        low, high = extent(examine(head(number), GRID, 10.0).labels, GRID)
        assert np.abs((low + high)[:2] / 2).max() < 5
        assert abs(GRID.extent_mm[2] / 2 - 10 - high[2]) < 8


@pytest.mark.real
def test_real_skulls_are_accepted_and_their_defective_ones_are_not(real_skulls):
    """Skulls are at native resolution; 037 has the thinnest vault of the data set, 003 the most holes."""
    from calvaria.sources import catalogue, read
    from calvaria.sources.folder import FolderSource

    sources = {"skullfix": FolderSource(kind="folder", path=real_skulls)}
    entries = {entry.own_id: entry for entry in catalogue(sources)}
    for name in ("000", "003", "037"):
        scan = read(sources, entries[name], 0)
        assert verdict(scan) == SOUND
        assert verdict(replace(scan, labels=(scan.labels == 1).astype(np.uint8)))[0] == "defective"
