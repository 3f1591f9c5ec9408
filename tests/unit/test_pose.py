"""The pose of a head is estimated for any position, and a wrong axis order is detected."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calvaria.geometry.grid import Grid
from calvaria.skull.examine import examine
from calvaria.skull.pose import find_pose
from calvaria.sources import Scan
from calvaria.sources.phantom.build import rotation
from tests.unit.heads import angle_deg, head, moved, phantom, stored, turn, with_hole


@pytest.mark.parametrize("number", range(4))
def test_the_true_pose_of_phantoms(number):
    """The tolerance is 4 degrees, as a phantom's shape differs from the template, a mean of real skulls."""
    person = phantom(number)
    truth = np.array(rotation(person.pitch_deg, person.roll_deg, person.yaw_deg)).T
    scan = head(number)
    pose = find_pose(scan.labels, scan.affine)
    assert angle_deg(pose.rotation @ truth.T) < 4
    assert pose.upright
    assert pose.residual_mm < 1.5
    assert pose.coverage > 0.93
    assert np.abs(pose.size - [person.width, person.length, person.height]).max() < 0.08


@settings(max_examples=6, deadline=None)
@given(
    st.tuples(st.floats(-40, 40), st.sampled_from([0, 1, 2])),
    st.tuples(*[st.floats(-300, 300)] * 3),
)
def test_a_head_that_lies_otherwise_comes_to_the_same_place(turned, shift):
    degrees, axis = turned
    scan = head(1)
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = turn(*(degrees if axis == n else 0.0 for n in range(3))), shift
    assert_same_place(scan, replace(scan, affine=motion @ scan.affine), motion=motion)


def assert_same_place(scan, other, degrees=1.0, millimetres=1.0, motion=None):
    """Assert that two scans of a head, related by a motion, are aligned to the same place in the grid."""
    motion = np.eye(4) if motion is None else motion
    here, there = find_pose(scan.labels, scan.affine), find_pose(other.labels, other.affine)
    difference = there.to_box(np.zeros(3)) @ motion @ np.linalg.inv(here.to_box(np.zeros(3)))
    assert angle_deg(difference[:3, :3]) < degrees
    assert np.linalg.norm(difference[:3, 3]) < millimetres


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
        np.diag([-1.0, -1.0, 1.0]),  # LPS interpreted as RAS
        np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
        np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]),
    ],
    ids=["y mirrored", "z mirrored", "LPS", "x and y exchanged", "y and z exchanged"],
)
@pytest.mark.parametrize("number", range(3))
def test_a_header_with_wrong_axes_is_noticed(wrong, number):
    scan = moved(head(number), wrong)
    assert not find_pose(scan.labels, scan.affine).upright


def with_neck_and_shoulders(scan):
    """Return a scan with jaw, spine and shoulders below the head, as in a scan of head and neck."""
    added = 80
    labels = np.pad(scan.labels, ((60, 60), (40, 40), (added, 0)))
    affine = scan.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [60, 40, added]
    index = np.indices(labels.shape).reshape(3, -1).T
    x, y, z = (index @ affine[:3, :3].T + affine[:3, 3]).T.reshape(3, *labels.shape)
    bottom = affine[2, 3] + affine[2, 2] * added
    below = z < bottom
    spine = (np.hypot(x, y + 5) < 16) & ((z % 26) < 20)
    jaw = (abs(np.hypot(x, y - 45) - 45) < 6) & (y > 20) & (z > bottom - 30)
    shoulders = (abs(y + 20) < 10) & (abs(z - (bottom - 110 - 0.2 * abs(x))) < 12)
    labels[below & (spine | jaw | shoulders)] = 1
    return Scan(labels, affine)


def cropped(scan, first, last=None):
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, 2] * first
    return Scan(scan.labels[:, :, first:last], affine)


@pytest.mark.parametrize(
    ("disturb", "degrees", "millimetres"),
    [
        (with_neck_and_shoulders, 1, 1),
        (lambda scan: with_hole(scan, 35), 1, 1.5),
        (lambda scan: with_hole(scan, 60), 2.5, 4),
        (lambda scan: cropped(scan, 0, -10), 2, 3),
        (lambda scan: cropped(scan, 0, -20), 3, 5),
        (lambda scan: cropped(scan, scan.labels.shape[2] // 4), 3, 4),
    ],
    ids=[
        "neck",
        "defect of 40 cm2",
        "defect of 110 cm2",
        "vertex cut by 20 mm",
        "vertex cut by 40 mm",
        "narrow view",
    ],
)
@pytest.mark.parametrize("number", [1, 3])
def test_what_hangs_below_or_is_missing_does_not_pull(disturb, degrees, millimetres, number):
    scan = head(number)
    assert_same_place(scan, disturb(scan), degrees, millimetres)


X, Y, Z = np.meshgrid(*[np.arange(-140, 140, 4.0)] * 3, indexing="ij", sparse=True)
RADIUS = np.sqrt(X * X + Y * Y + Z * Z)
NOT_HEADS = {
    "ball": RADIUS < 80,
    "shell": (RADIUS < 80) & (RADIUS > 72),
    "legs": (np.hypot(abs(X) - 60, Y) < 25) & (abs(Z) < 120),
    "table": (abs(Z) < 8) & (abs(X) < 120) & (abs(Y) < 120),
    "chest": (abs(np.hypot(X / 1.4, Y) - 80) < 6) & (Z % 24 < 10)
    | (np.hypot(X, Y + 80) < 20) & (abs(Z) < 130),
}


@pytest.mark.parametrize("name", NOT_HEADS)
def test_what_is_not_a_head_is_refused(name):
    mask = np.broadcast_to(NOT_HEADS[name], (70, 70, 70)).astype(np.uint8)
    result = examine(Scan(mask, np.diag([4.0, 4.0, 4.0, 1.0])), Grid((48, 56, 48), 4.0), 10.0)
    assert result.fault is not None
    assert result.fault.verdict in ("not a skull", "size", "thickness", "orientation")


def test_the_same_scan_gives_the_same_pose_twice():
    scan = head(0)
    first, second = find_pose(scan.labels, scan.affine), find_pose(scan.labels, scan.affine)
    assert np.array_equal(first.to_box(np.zeros(3)), second.to_box(np.zeros(3)))
