"""Intervals and tests treat cases of one person as dependent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calvaria.metrics.statistics import clustered_mean, compare, holm, per_person


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_ten_cases_of_a_person_tell_no_more_than_one():
    values = rng().normal(size=12)
    people = [str(number) for number in range(12)]
    one = clustered_mean(values.tolist(), people, rng())
    ten = clustered_mean(np.repeat(values, 10).tolist(), np.repeat(people, 10).tolist(), rng())
    assert one.mean == pytest.approx(values.mean())
    assert (ten.low, ten.high) == pytest.approx((one.low, one.high))
    alone = clustered_mean(np.repeat(values, 10).tolist(), [str(n) for n in range(120)], rng())
    assert alone.high - alone.low < 0.5 * (one.high - one.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        means = draw.normal(size=25)
        values = np.repeat(means, 3) + draw.normal(size=75) * 0.1
        found = clustered_mean(values.tolist(), np.repeat(np.arange(25), 3).astype(str).tolist(), draw)
        covered += found.low <= 0 <= found.high
    assert 0.88 <= covered / 200 <= 0.98


def test_a_comparison_is_paired_by_person():
    base = rng().normal(size=10)
    people = [str(number) for number in range(10)]
    better = compare((base + 0.01).tolist(), base.tolist(), people, rng())
    assert better.effect == 1
    assert better.p_value == pytest.approx(2 / 2**10)
    assert better.difference.mean == pytest.approx(0.01)
    worse = compare(base.tolist(), (base + 0.01).tolist(), people, rng())
    assert worse.effect == -1
    same = compare(base.tolist(), base.tolist(), people, rng())
    assert (same.effect, same.p_value) == (0, 1)


def test_per_person_means():
    assert per_person([1, 3, 5], ["b", "b", "a"]) == {"a": 5, "b": 2}


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_and_keeps_the_order(p_values):
    corrected = holm(p_values)
    assert all(one >= p and one <= 1 for one, p in zip(corrected, p_values, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(corrected)[order]) >= 0)
