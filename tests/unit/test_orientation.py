"""Storage orders are converted without loss, and equal scans have equal bits in the canonical order."""

from itertools import permutations, product

import numpy as np
import pytest

from calvaria.geometry.canonical import Canonical
from calvaria.geometry.orientation import Orientation, centred
from calvaria.sources import Scan
from tests.unit.heads import stored, turn

ORDERS = [
    (axes, tuple(axis for axis in range(3) if flips[axis]))
    for axes in permutations(range(3))
    for flips in product((False, True), repeat=3)
]


@pytest.mark.parametrize(("axes", "flips"), ORDERS)
def test_every_storage_order_has_one_canonical_form(axes, flips):
    affine = np.eye(4)
    affine[:3, :3] = (turn(12, -7, 25) @ np.diag([0.45, 0.5, 1.25])).astype(np.float32)
    affine[:3, 3] = [-90, 33, 700]
    scan = Scan(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), affine)
    other = stored(scan, axes, flips)
    orientation = Orientation.of(other.affine)
    values = orientation.to_canonical(other.labels)
    assert np.array_equal(values, scan.labels)
    assert np.array_equal(orientation.from_canonical(values), other.labels)
    found = orientation.canonical_affine(other.affine, other.labels.shape)
    assert np.array_equal(found[:3, :3], affine[:3, :3])
    assert np.allclose(found, affine, rtol=0, atol=1e-9)
    assert np.array_equal(centred(found, values.shape), centred(affine, scan.labels.shape))


@pytest.mark.parametrize(("axes", "flips"), ORDERS)
def test_equal_scans_are_equal_bits_and_go_back_into_their_files(axes, flips):
    """Values and affine are those used in computations; a motion estimated there is valid for the file."""
    affine = np.eye(4)
    affine[:3, :3] = (turn(12, -7, 25) @ np.diag([0.45, 0.5, 1.25])).astype(np.float32)
    affine[:3, 3] = [-90.1, 33.3, 700.7]
    scan = Scan(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), affine)
    file = stored(scan, axes, flips)
    own = Canonical.of(file.labels, file.affine)
    first = Canonical.of(scan.labels, scan.affine)
    assert np.array_equal(own.values, first.values)
    assert own.values.strides == first.values.strides
    assert own.affine.tobytes() == first.affine.tobytes()
    assert np.array_equal(own.in_file(own.values), file.labels)
    assert np.allclose(own.affine @ [1, 2, 3, 1], own.to_centred @ scan.affine @ [1, 2, 3, 1])
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = turn(3, 4, 5), (1, 2, 3)
    assert np.allclose(own.from_file(motion), motion @ own.to_centred)
    again = Canonical.of(own.values, own.affine)
    assert np.array_equal(again.affine, own.affine)
    assert np.array_equal(again.to_centred, np.eye(4))


def test_the_centre_of_a_centred_array_is_the_origin():
    affine = np.diag([0.5, 2.0, 3.0, 1.0])
    affine[:3, 3] = 100
    middle = centred(affine, (4, 5, 7)) @ [1.5, 2, 3, 1]
    assert np.allclose(middle[:3], 0)
