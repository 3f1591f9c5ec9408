"""Network representations of a skull are decoded exactly, and thin bone survives small errors."""

import numpy as np
import pytest

from calvaria.families.representation import CHANNELS, OPEN_VOXELS, decode, encode, head_and_cavity
from calvaria.geometry.grid import Grid
from calvaria.skull.measures import vault_map

GRID = Grid((48, 56, 48), 3.75)


@pytest.fixture(scope="module")
def shells() -> np.ndarray:
    """Heads with a wall of 4 mm, open below."""
    x, y, z = np.meshgrid(*(GRID.centres(axis) for axis in range(3)), indexing="ij")
    found = []
    for size in (0.92, 1.0, 1.08):
        r = np.sqrt((x / 65) ** 2 + (y / 85) ** 2 + (z / 65) ** 2) / size
        found.append(((r > 0.92) & (r < 1) & (z > -55)).astype(np.uint8))
    return np.stack(found)


@pytest.mark.parametrize("representation", CHANNELS)
def test_fields_decode_to_the_same_skull(shells, representation):
    fields = encode(shells, representation, GRID)
    assert fields.shape == (3, CHANNELS[representation], *GRID.shape)
    assert fields.dtype == np.float32
    assert np.abs(fields).max() == 1
    assert np.array_equal(decode(fields), shells)


def test_the_cavity_lies_within_the_wall_and_the_head_is_open_below(shells):
    bone = shells[1] > 0
    head, cavity = head_and_cavity(bone, GRID)
    assert np.array_equal(head & ~cavity, bone)
    x, y, z = np.meshgrid(*(GRID.centres(axis) for axis in range(3)), indexing="ij")
    r = np.sqrt((x / 65) ** 2 + (y / 85) ** 2 + (z / 65) ** 2)
    assert (r[cavity & (z > -40)] < 0.97).all()
    assert cavity[(r < 0.9) & (z > 0)].all()
    assert np.flatnonzero(head[24, 28])[0] == np.flatnonzero(cavity[24, 28])[0] + OPEN_VOXELS


def test_a_hole_in_the_wall_does_not_let_the_cavity_out(shells):
    bone = shells[1] > 0
    bone[22:27, 26:31, 30:] = False
    head, cavity = head_and_cavity(bone, GRID)
    assert np.array_equal(head & ~cavity, bone)
    assert np.argwhere(cavity)[:, 2].max() <= np.argwhere(shells[1])[:, 2].max()


def test_between_thin_skulls_of_several_sizes_lies_a_thin_skull(shells):
    """Samples are mixtures of fields; a mixture of distance maps of thin bone has hardly any bone."""
    mixed = {name: decode(encode(shells, name, GRID).mean(0, keepdims=True))[0] for name in CHANNELS}
    found, expected = vault_map(mixed["surfaces"], GRID), vault_map(shells[1], GRID)
    assert found.hole_area_mm2 < expected.hole_area_mm2 + 100
    assert found.thickness_mm.mean() == pytest.approx(expected.thickness_mm.mean(), rel=0.1)
    assert np.count_nonzero(mixed["distance"]) < 0.1 * np.count_nonzero(shells[1])


@pytest.mark.parametrize(("spacing_mm", "matters"), [(1.5, True), (3.75, False)])
def test_occupancies_place_surfaces_on_fine_grids_only(spacing_mm, matters):
    grid = Grid((112, 128, 96), spacing_mm)
    x, y, z = np.meshgrid(*(grid.centres(axis) / spacing_mm for axis in range(3)), indexing="ij")
    r = np.sqrt((x / 46) ** 2 + (y / 56) ** 2 + (z / 44) ** 2)
    depth = np.minimum(1 - r, r - 0.88) * 46  # about voxels
    mask = ((depth > 0) & (z > -40)).astype(np.uint8)[None]
    occupancies = (255 * np.clip(depth + 0.5, 0, 1)).astype(np.uint8)[None]
    with_, without = (encode(mask, "surfaces", grid, given) for given in (occupancies, None))
    assert np.array_equal(decode(with_), mask)
    assert np.array_equal(with_, without) != matters
