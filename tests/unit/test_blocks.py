"""Non-empty blocks of a volume."""

import numpy as np
import pytest

from calvaria.geometry.blocks import occupied


@pytest.mark.parametrize("edge", [1, 2, 4])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(8, 12, 4), (7, 9, 5), (1, 2, 3)])
def test_a_block_is_occupied_if_one_of_its_voxels_is(edge, order, shape):
    mask = np.asarray(np.random.default_rng(0).random(shape) < 0.1, order=order)
    before = mask.copy()
    found = occupied(mask.view(np.uint8) * np.uint8(2), edge)
    expected = np.zeros([-(-n // edge) for n in shape], bool)
    for voxel in np.argwhere(mask):
        expected[tuple(voxel // edge)] = True
    assert found.dtype == bool
    assert np.array_equal(found, expected)
    assert np.array_equal(occupied(mask, edge), expected)
    assert np.array_equal(mask, before)
