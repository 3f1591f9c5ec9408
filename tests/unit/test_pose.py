"""The pose of a head is found wherever it lies, and another axis order is noticed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calvaria.conform.pose import find_pose
from calvaria.sources.phantom import rotation
from tests.unit.heads import angle_deg, head, moved, phantom, stored, turn, with_hole


@pytest.mark.parametrize("number", range(4))
def test_the_true_pose_of_phantoms(number):
    """Within 2 degrees: heads are not symmetric, so that their own Frankfurt frame is known no better."""
    person = phantom(number)
    truth = np.array(rotation(person.pitch_deg, person.roll_deg, person.yaw_deg)).T
    scan = head(number)
    pose = find_pose(scan.labels, scan.affine)
    assert angle_deg(pose.rotation @ truth.T) < 2
    assert pose.upright
    assert pose.residual_mm < 2
    assert np.abs(pose.size - [person.width, person.length, person.height]).max() < 0.08


@settings(max_examples=12, deadline=None)
@given(
    st.tuples(st.floats(-25, 25), st.floats(-12, 12), st.floats(-15, 15)),
    st.tuples(*[st.floats(-300, 300)] * 3),
)
def test_a_head_that_lies_otherwise_comes_to_the_same_place(turns, shift):
    scan = head(1)
    other = moved(scan, turn(*turns), shift)
    here, there = find_pose(scan.labels, scan.affine), find_pose(other.labels, other.affine)
    difference = (
        there.to_box(np.zeros(3)) @ other.affine @ np.linalg.inv(here.to_box(np.zeros(3)) @ scan.affine)
    )
    assert angle_deg(difference[:3, :3]) < 1.5
    assert np.linalg.norm(difference[:3, 3]) < 2.5


@pytest.mark.parametrize("axes", [(2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flips", [(0,), (1, 2)])
def test_how_the_file_is_stored_does_not_matter_if_the_header_says_it(axes, flips):
    scan = head(2)
    other = stored(scan, axes, flips)
    here, there = find_pose(scan.labels, scan.affine), find_pose(other.labels, other.affine)
    assert there.upright
    assert angle_deg(there.rotation @ here.rotation.T) < 1.5


@pytest.mark.parametrize(
    "wrong",
    [
        np.diag([1.0, -1.0, 1.0]),  # front and back exchanged
        np.diag([1.0, 1.0, -1.0]),  # upside down
        np.diag([-1.0, -1.0, 1.0]),  # LPS taken for RAS
        np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
        np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]),
    ],
    ids=["y mirrored", "z mirrored", "LPS", "x and y exchanged", "y and z exchanged"],
)
@pytest.mark.parametrize("number", range(3))
def test_a_header_with_wrong_axes_is_noticed(wrong, number):
    scan = moved(head(number), wrong)
    assert not find_pose(scan.labels, scan.affine).upright


def test_a_defect_and_a_narrow_field_of_view_do_not_pull():
    scan = head(3)
    whole = find_pose(scan.labels, scan.affine)
    hole = with_hole(scan, 45)
    low = scan.labels.copy()
    low[:, :, : low.shape[2] // 3] = 0
    for other in (hole.labels, low):
        assert angle_deg(find_pose(other, scan.affine).rotation @ whole.rotation.T) < 4


def test_the_same_scan_gives_the_same_pose_twice():
    scan = head(0)
    first, second = find_pose(scan.labels, scan.affine), find_pose(scan.labels, scan.affine)
    assert np.array_equal(first.to_box(np.zeros(3)), second.to_box(np.zeros(3)))
