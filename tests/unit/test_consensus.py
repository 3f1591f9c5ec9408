"""The implant of several poses: the poses surround the estimated one, and the majority decides."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from calvaria.geometry.grid import Grid
from calvaria.geometry.region import Region
from calvaria.reconstruction import consensus


def test_motions_are_rigid_and_surround_the_pose():
    motions = consensus.motions()
    assert np.array_equal(motions[0], np.eye(4))
    for motion in motions:
        assert np.allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3))
        assert np.isclose(np.linalg.det(motion), 1)
    middle = np.mean([motion @ [0, 0, 60, 1] for motion in motions], axis=0)
    assert np.allclose(middle[:3], [0, 0, 60], atol=0.1)


@pytest.mark.parametrize(("votes", "kept"), [(2, False), (3, True)])
def test_the_majority_counts_and_one_piece_is_kept(votes, kept):
    predictions = iter(range(len(consensus.MOTIONS)))

    def predict(case):
        number = next(predictions)
        implant = np.zeros(case.native_labels.shape, bool)
        implant[2:6, 2:6, 2:6] = True
        implant[6, 2:6, 2:6] = number < votes
        implant[9 - number, 9, 9] = True  # specks, each at a different place
        implant[0, 0, 0] = True  # a speck common to all
        low = 0 if number % 2 else 1  # a region may exclude empty borders
        implant[0, 0, 0] &= not low
        return SimpleNamespace(region=Region((slice(low, 10),) * 3, implant[low:, low:, low:], implant.shape))

    predictor = SimpleNamespace(
        grid=Grid((8, 8, 8), 1.0), predict_many=lambda cases: (predict(case) for case in cases)
    )
    found = consensus.consensus_implant(predictor, np.zeros((10, 10, 10), bool), np.eye(4), np.eye(4))
    expected = np.zeros((10, 10, 10), bool)
    expected[2 : 7 if kept else 6, 2:6, 2:6] = True
    assert np.array_equal(found, expected)


def test_little_more_than_the_implant_is_allocated():
    """Only the returned mask has the size of the scan; other arrays are limited to bone or implant."""
    bone = np.zeros((256, 256, 256), bool, order="F")
    bone[80:150, 80:150, 80:150] = True
    region = Region((slice(90, 120),) * 3, np.ones((30, 30, 30), bool), bone.shape)
    predictor = SimpleNamespace(
        grid=Grid((32, 32, 32), 8.0),
        predict_many=lambda cases: [SimpleNamespace(region=region) for _ in cases],
    )
    tracemalloc.start()
    try:
        found = consensus.consensus_implant(predictor, bone, np.eye(4), np.eye(4))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.count_nonzero(found) == 30**3
    assert bone.nbytes < peak < 1.5 * bone.nbytes
