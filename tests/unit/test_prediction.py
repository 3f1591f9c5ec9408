"""A prediction is reduced to one solid piece."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from calvaria.geometry.components import largest_component


@settings(derandomize=True, deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32), share=st.floats(0.05, 0.6), connectivity=st.sampled_from([6, 26]))
def test_the_largest_piece_is_one_piece_and_none_is_larger(seed, share, connectivity):
    mask = np.random.default_rng(seed).random((9, 11, 7)) < share
    structure = np.ones((3, 3, 3)) if connectivity == 26 else None  # by faces
    kept = largest_component(mask, connectivity)
    pieces, count = label(mask, structure)
    assert not (kept & ~mask).any()
    assert label(kept, structure)[1] == min(count, 1)
    assert np.count_nonzero(kept) == np.bincount(pieces.ravel())[1:].max(initial=0)


@pytest.mark.parametrize(("connectivity", "expected"), [(26, 28), (6, 27)])
def test_a_voxel_that_hangs_on_a_corner_is_no_part_of_a_solid(connectivity, expected):
    mask = np.zeros((6, 6, 6), bool)
    mask[1:4, 1:4, 1:4] = mask[4, 4, 4] = True
    assert np.count_nonzero(largest_component(mask, connectivity)) == expected
