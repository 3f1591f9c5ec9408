"""Masks that are non-zero only in a box of their grid."""

import numpy as np

from calvaria.geometry.region import Region, count_votes

SHAPE = (9, 8, 7)


def region(low: tuple[int, int, int], seed: int) -> Region:
    values = np.random.default_rng(seed).random((4, 3, 2)) < 0.5
    x, y, z = (slice(a, a + n) for a, n in zip(low, values.shape, strict=True))
    return Region((x, y, z), values, SHAPE)


def test_a_region_is_the_part_of_its_mask_that_is_set():
    one = region((2, 3, 4), 0)
    assert one.whole().shape == SHAPE
    assert np.array_equal(one.whole()[one.box], one.values)
    assert np.count_nonzero(one.whole()) == np.count_nonzero(one.values) > 0
    assert not Region.empty(SHAPE).whole().any()


def test_votes_are_counted_in_the_box_around_all_regions():
    regions = [region((0, 3, 4), 1), Region.empty(SHAPE), region((3, 0, 5), 2), region((2, 2, 2), 3)]
    box, votes = count_votes(regions)
    assert box == (slice(0, 7), slice(0, 6), slice(2, 7))
    expected = sum(one.whole().astype(int) for one in regions)
    assert np.array_equal(votes, expected[box])
    assert votes.sum() == expected.sum()
    box, votes = count_votes([Region.empty(SHAPE)])
    assert votes.size == np.zeros(SHAPE)[box].size == 0
