"""Rays meet the same bone as with interpolation at every position along them."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from calvaria.skull.vault_map import CENTRE_MM, REACH_MM, STEP_MM, directions, picture_vault
from tests.unit.heads import head, turn, with_hole


@pytest.mark.parametrize("order", ["C", "F"])
def test_nothing_is_missed_beside_the_places_that_are_left_out(order):
    scan = with_hole(head(1, 3.0), 30, 0)
    labels = np.asarray(scan.labels * np.uint8(2), order=order)  # any label is bone
    labels = labels[:, :, : labels.shape[2] - 3]  # the field of view ends in the vault
    to_head = np.eye(4)
    to_head[:3, :3], to_head[:3, 3] = turn(7, -4, 11), (2.5, -3.0, -80.0)
    found = picture_vault(labels, scan.affine, to_head)

    distances = np.arange(*REACH_MM, STEP_MM)
    to_scan = np.linalg.inv(to_head @ scan.affine)
    index = (np.array(CENTRE_MM) + directions()[:, :, None, :] * distances[:, None]) @ to_scan[:3, :3].T
    index += to_scan[:3, 3]
    bone = (labels > 0).astype(np.uint8)
    inside = map_coordinates(bone, np.moveaxis(index, -1, 0), output=np.float32, order=1) >= 0.5
    within = ((index >= 0) & (index <= np.array(bone.shape) - 1)).all(axis=-1)
    met = inside.any(axis=-1)
    assert 0.2 < met.mean() < 1
    assert np.array_equal(found.inner_mm, np.where(met, distances[inside.argmax(-1)], 0).astype(np.float32))
    last = distances[-1 - inside[..., ::-1].argmax(-1)]
    assert np.array_equal(found.outer_mm, np.where(met, last, 0).astype(np.float32))
    leave = distances[-1 - within[..., ::-1].argmax(-1)] * within.any(-1)
    assert np.array_equal(found.exit_mm, leave.astype(np.float32))
