"""Every fault of a skull gets its verdict, and sound skulls get none."""

from dataclasses import replace

import numpy as np
import pytest

from calvaria.conform.examine import examine
from calvaria.grid import IMPLANT, Grid
from calvaria.sources import Scan
from tests.unit.heads import head, moved, with_hole

GRID = Grid((48, 56, 48), 3.75)


def verdict(scan: Scan) -> str | None:
    fault = examine(scan, GRID, 10.0).fault
    return None if fault is None else fault.verdict


def solid(scan: Scan) -> Scan:
    from scipy.ndimage import binary_fill_holes

    labels = np.stack([binary_fill_holes(slice_) for slice_ in np.moveaxis(scan.labels, 2, 0)], axis=2)
    return replace(scan, labels=labels.astype(np.uint8))


def crumbled(scan: Scan) -> Scan:
    rng = np.random.default_rng(0)
    return replace(scan, labels=scan.labels * (rng.random(scan.labels.shape) < 0.08).astype(np.uint8))


def topless(scan: Scan) -> Scan:
    return replace(scan, labels=scan.labels[:, :, : -round(25 / 2.0)])


def sieve(scan: Scan) -> Scan:
    """Holes of 6 mm all over the upper vault."""
    labels = scan.labels.copy()
    top = labels.shape[2] - round(40 / 2.0)
    for x in range(0, labels.shape[0], 8):
        for y in range(0, labels.shape[1], 8):
            labels[x : x + 3, y : y + 3, top:] = 0
    return replace(scan, labels=labels)


@pytest.mark.parametrize("number", range(4))
def test_sound_skulls_are_accepted(number):
    assert verdict(head(number)) is None


SPOILT = {
    "empty": (lambda scan: replace(scan, labels=0 * scan.labels), "empty"),
    "in metres": (lambda scan: replace(scan, affine=scan.affine / 1000), "size"),
    "too large": (lambda scan: replace(scan, affine=scan.affine * 1.5), "size"),
    "too small": (lambda scan: replace(scan, affine=scan.affine * 0.6), "size"),
    "crumbled": (crumbled, "fragmented"),
    "mirrored": (lambda scan: moved(scan, np.diag([1.0, -1.0, 1.0])), "orientation"),
    "all ones": (lambda scan: replace(scan, labels=np.ones_like(scan.labels)), "not a skull"),
    "solid": (solid, "thickness"),
    "topless": (topless, "vault cut off"),
    "small hole": (lambda scan: with_hole(scan, 20), "defective"),
    "large hole": (lambda scan: with_hole(scan, 50), "defective"),
    "sieve": (sieve, "vault open"),
}


@pytest.mark.parametrize(("spoil", "wanted"), SPOILT.values(), ids=SPOILT)
def test_a_fault_is_named(spoil, wanted):
    assert verdict(spoil(head(1))) == wanted


def test_an_implant_closes_the_vault():
    assert verdict(with_hole(head(1), 40, IMPLANT)) is None


def test_a_vault_larger_than_the_grid_is_named_with_what_to_do():
    fault = examine(head(0), Grid((32, 56, 48), 3.75), 10.0).fault
    assert fault is not None
    assert fault.verdict == "too large"
    assert "along x; enlarge grid.shape" in fault.reason


def test_the_vault_stands_at_its_place():
    """The middle in x and y, the top below the margin; for a head that is not of average build, nearly so."""
    from calvaria.anatomy import extent

    for number in range(3):
        low, high = extent(examine(head(number), GRID, 10.0).labels, GRID)
        assert np.abs((low + high)[:2] / 2).max() < 5
        assert abs(GRID.extent_mm[2] / 2 - 10 - high[2]) < 8


@pytest.mark.real
def test_real_skulls_are_accepted_and_their_defective_ones_are_not(real_skulls):
    """At the scan's own resolution; 037 has the thinnest vault of the set, 003 the most holes."""
    from calvaria.config import FolderSource
    from calvaria.sources import catalogue, read

    sources = {"skullfix": FolderSource(kind="folder", path=real_skulls)}
    entries = {entry.own_id: entry for entry in catalogue(sources)}
    for name in ("000", "003", "037"):
        scan = read(sources, entries[name], 0)
        assert verdict(scan) is None
        assert verdict(replace(scan, labels=(scan.labels == 1).astype(np.uint8))) == "defective"
