"""The audit's figures follow their published definitions, and detect what they are designed to detect."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from calvaria.config import Screen
from calvaria.geometry.grid import Grid
from calvaria.metrics.fidelity import fidelity, memorisation
from calvaria.metrics.rebuilding import compare
from calvaria.metrics.shape import DIRECTIONS, GROUPS, all_features, features, scale_of
from calvaria.skull.screening import Originals


def cloud(seed: int, count: int, width: float = 1.0, shift: float = 0.0) -> np.ndarray:
    return width * np.random.default_rng(seed).standard_normal((count, 6)) + shift


def test_samples_of_the_same_distribution_score_well():
    found = fidelity(cloud(1, 400), cloud(2, 200), 5)
    assert found.neighbour_accuracy == pytest.approx(0.5, abs=0.06)
    assert found.density == pytest.approx(1, abs=0.15)
    assert found.coverage > 0.9
    assert found.precision > 0.85
    assert found.recall > 0.85


def test_narrow_samples_are_precise_but_cover_little():
    found = fidelity(cloud(1, 200, width=0.3), cloud(2, 200), 5)
    assert found.precision > 0.95
    assert found.recall < 0.3
    assert found.coverage < 0.6
    assert found.neighbour_accuracy > 0.7


def test_samples_elsewhere_score_nothing():
    found = fidelity(cloud(1, 200, shift=20), cloud(2, 200), 5)
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)
    assert found.neighbour_accuracy == 1


def test_copies_fool_the_neighbour_test_to_below_a_half():
    real = cloud(2, 100)
    assert fidelity(real + 1e-6, real, 5).neighbour_accuracy < 0.05


def test_the_neighbour_accuracy_is_that_of_a_classifier():
    samples, real = cloud(1, 60, shift=0.4), cloud(2, 60)
    points, sides = np.concatenate([samples, real]), np.repeat([1, 0], 60)
    right = [
        KNeighborsClassifier(1)
        .fit(np.delete(points, i, 0), np.delete(sides, i))
        .predict(points[i : i + 1])[0]
        == sides[i]
        for i in range(len(points))
    ]
    assert fidelity(samples, real, 5).neighbour_accuracy == pytest.approx(np.mean(right))


def test_precision_and_coverage_by_counting():
    """Three real points on a line, one neighbour: surroundings of 1, 1 and 2."""
    real = np.array([[0.0], [1.0], [3.0]])
    samples = np.array([[0.5], [4.5], [9.0]])
    found = fidelity(samples, real, 1)
    assert found.precision == pytest.approx(2 / 3)  # 0.5 and 4.5
    assert found.density == pytest.approx((2 + 1 + 0) / 3)
    assert found.coverage == 1  # 0.5 is near 0 and 1; 4.5 is within 2 of 3
    assert found.recall == 1


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="5 neighbours need more than 5 points, got 5"):
        fidelity(cloud(1, 5), cloud(2, 5), 5)


def test_memorisation_is_seen_and_its_absence_too():
    training, held_out = cloud(1, 80), cloud(2, 40)
    copied = memorisation(training[:40] + 0.05, training, held_out)
    assert copied.ratio < 0.3
    assert copied.p_value < 1e-6
    fresh = memorisation(cloud(3, 40), training, held_out)
    assert fresh.ratio == pytest.approx(1, abs=0.25)
    assert fresh.p_value > 0.05


def test_features_are_measures_of_the_skull(dome, grid):
    found = features(dome, grid)
    assert len(found) == sum(size for _, size in GROUPS)
    radii, thickness = found[:DIRECTIONS], found[DIRECTIONS : 2 * DIRECTIONS]
    assert radii.min() > 40
    assert radii.max() < 110
    assert thickness.min() > 0
    volume = found[2 * DIRECTIONS + 2] ** 3
    assert volume == pytest.approx(np.count_nonzero(dome) * grid.spacing_mm**3)


def test_a_mirrored_skull_has_mirrored_features_and_the_same_asymmetry(dome, grid):
    cut = dome.copy()
    cut[: len(cut) // 3, :, -12:] = 0
    one, other = features(cut, grid), features(cut[::-1], grid)
    asymmetry = slice(2 * DIRECTIONS, 2 * DIRECTIONS + 2)
    assert one[asymmetry].min() > 0.5
    np.testing.assert_allclose(one[asymmetry], other[asymmetry], rtol=0.15)
    assert np.abs(one[:DIRECTIONS] - other[:DIRECTIONS]).max() > 5


def test_every_group_of_features_counts_as_much():
    values = np.random.default_rng(0).standard_normal((300, sum(size for _, size in GROUPS)))
    values[:, :DIRECTIONS] *= 50
    scaled = scale_of(values)(values)
    first = 0
    for _, size in GROUPS:
        assert (scaled[:, first : first + size] ** 2).sum(1).mean() == pytest.approx(1, rel=0.02)
        first += size


def test_a_copy_is_known_also_when_it_is_mirrored(dome):
    other = np.roll(dome, 2, axis=1)
    other[:10] = 0
    originals = Originals(("a", "b"), np.stack([dome, other]))
    assert originals.nearest(dome).id == "a"
    assert originals.nearest(dome).dice == 1
    assert originals.nearest(other[::-1].copy()) == originals.nearest(other)
    shifted = np.roll(dome, 1, axis=0)
    shared = np.count_nonzero(shifted & dome)
    assert originals.nearest(shifted).dice == pytest.approx(shared / np.count_nonzero(dome), abs=2e-4)
    assert originals.nearest(shifted).dice < Screen().copy_dice


def test_a_rebuilt_skull_is_compared_in_voxels_and_mm(dome, grid):
    assert compare(dome, dome, grid).dice == 1
    assert compare(dome, dome, grid).surface95_voxels == 0
    moved = compare(np.roll(dome, 1, axis=2), dome, grid)
    assert moved.surface95_voxels == pytest.approx(1)
    assert 0 < moved.surface_mm < grid.spacing_mm
    empty = compare(np.zeros_like(dome), dome, grid)
    assert empty.dice == 0
    assert empty.surface_mm == np.inf


def test_features_do_not_depend_on_how_many_skulls_are_looked_at(dome):
    grid = Grid(dome.shape, 4.5)
    both = all_features(np.stack([dome, dome[::-1]]), grid)
    np.testing.assert_array_equal(both[0], features(dome, grid))
