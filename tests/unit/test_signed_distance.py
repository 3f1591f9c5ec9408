"""Distances that are precise to a fraction of a voxel, from the share of every voxel in a solid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calvaria.geometry.signed_distance import signed_depth, subvoxel_depth

SHAPE = (60, 60, 60)
FINE = 4  # sub-samples of a voxel per edge


def shares(depth) -> np.ndarray:
    """Return the share of every voxel in the solid in which a function of (x, y, z) voxels is positive."""
    steps = (np.arange(FINE) + 0.5) / FINE - 0.5
    share = np.zeros(SHAPE, np.float32)
    x, y, z = np.indices(SHAPE, np.float32)
    for a in steps:
        for b in steps:
            for c in steps:
                share += depth(x + a, y + b, z + c) > 0
    return share / FINE**3


def ball(x, y, z):
    return 20 - np.sqrt((x - 29.3) ** 2 + (y - 30.1) ** 2 + (z - 28.6) ** 2)


def tilted(x, y, z):
    return (0.12 * (x - 30) + 0.05 * (y - 30) + z - 29.7) / np.sqrt(0.12**2 + 0.05**2 + 1)


@pytest.mark.parametrize("solid", [ball, tilted])
def test_depths_are_right_to_a_tenth_of_a_voxel(solid):
    share, true = shares(solid), solid(*np.indices(SHAPE, np.float32))
    mask = share >= 0.5
    near = np.abs(true) < 10
    errors = np.abs(subvoxel_depth(mask, share) - true)[near]
    assert np.sqrt((errors**2).mean()) < 0.1
    assert np.sqrt(((signed_depth(mask) - true)[near] ** 2).mean()) > 0.2  # from voxels alone


def test_between_two_shifted_balls_lies_a_smooth_ball():
    """The mean of two distances from voxels has the terraces of both."""

    def shifted(x, y, z):
        return ball(x + 1.3, y - 0.8, z + 0.6)

    true = (ball(*np.indices(SHAPE, np.float32)) + shifted(*np.indices(SHAPE, np.float32))) / 2
    near = np.abs(true) < 2
    fine, coarse = [], []
    for solid in (ball, shifted):
        share = shares(solid)
        fine.append(subvoxel_depth(share >= 0.5, share))
        coarse.append(signed_depth(share >= 0.5))
    errors = [np.std((np.mean(pair, axis=0) - true)[near]) for pair in (fine, coarse)]
    assert errors[0] < 0.5 * errors[1]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_every_voxel_keeps_its_side_and_no_depth_is_undefined(seed, density):
    rng = np.random.default_rng(seed)
    share = rng.random((9, 8, 7), np.float32)
    mask = share > density
    if mask.any() and not mask.all():
        depth = subvoxel_depth(mask, share)
        assert np.isfinite(depth).all()
        assert np.array_equal(depth > 0, mask)
        assert depth.dtype == np.float32


@pytest.mark.parametrize("full", [False, True])
def test_without_a_surface_depths_are_infinite(full):
    depth = subvoxel_depth(np.full((4, 5, 6), full), np.full((4, 5, 6), full, np.float32))
    assert (depth == (np.inf if full else -np.inf)).all()
