"""The shapes of defects, compared with their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calvaria.config import Inject
from calvaria.defects.shapes import Craniotomy, Ellipsoid, RoundedBox
from calvaria.seeds import generator
from calvaria.skull.vault import find_vault
from tests.unit.test_defects import GRID, SKULL, mesh

seeds = st.integers(0, 2**40)
EXACT = settings(derandomize=True, deadline=None, max_examples=60)


@EXACT
@given(seed=seeds)
def test_ellipsoid_is_one(seed):
    """The reference is the definition in a random frame; distances are first-order near the boundary."""
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    frame[1] = np.cross(frame[2], frame[0])
    axes = rng.uniform(10, 50, 3)
    shape = Ellipsoid(
        centre_mm=tuple(rng.uniform(-20, 20, 3)),
        first=tuple(frame[0]),
        third=tuple(frame[2]),
        semi_axes_mm=tuple(axes),
    )
    points = np.stack(mesh(GRID), axis=1)
    level = np.linalg.norm((points - shape.centre_mm) @ frame.T / axes, axis=1)
    assert np.array_equal(shape.distance_mm(*points.T) <= 0, level <= 1)
    directions = rng.standard_normal((50, 3))
    surface = shape.centre_mm + (directions / np.linalg.norm(directions / axes, axis=1)[:, None]) @ frame
    normal = (directions / axes**2) @ frame
    normal /= np.linalg.norm(normal, axis=1)[:, None]
    assert shape.distance_mm(*(surface + 0.01 * normal).T) == pytest.approx(0.01, abs=1e-3)
    assert shape.distance_mm(*(np.array([[c] for c in shape.centre_mm]))) < 0


def flap(**changes):
    """Return a straight-edged square flap on top of a head of radius 80 mm."""
    corners = ((30.0, 30.0), (-30.0, 30.0), (-30.0, -30.0), (30.0, -30.0))
    given = {
        "apex_mm": (0, 0, 0),
        "pole": (0, 0, 1),
        "right": (1, 0, 0),
        "radius_mm": 80,
        "outline_mm": corners,
        "holes_mm": corners,
        "hole_radius_mm": 6,
        "bevel": 0,
        "surface_mm": (80, 0, 0, 0, 0, 0),
        "reach_mm": (55, 90),
    }
    return Craniotomy(**{**given, **changes})


def test_craniotomy_is_saw_lines_and_burr_holes():
    """The chart shows a square and four discs; cuts are radial; the other side of the head is intact."""
    shape = flap()
    rng = np.random.default_rng(0)
    u, v = rng.uniform(-45, 45, (2, 4000))
    on_sphere = 80 * np.stack([u, v, np.full(u.shape, 80.0)]) / np.sqrt(u * u + v * v + 6400)
    square = (np.abs(u) <= 30) & (np.abs(v) <= 30)
    holes = np.hypot(np.abs(u) - 30, np.abs(v) - 30) <= 6
    for scale in (0.75, 1.0, 1.1):
        assert np.array_equal(shape.distance_mm(*(scale * on_sphere)) <= 0, square | holes)
    for scale in (-1, 0.6, 1.2):
        assert (shape.distance_mm(*(scale * on_sphere)) > 0).all()
    # Distance from the saw line at the flap's middle.
    assert shape.distance_mm(np.array([35.0]), np.array([0.0]), np.array([80.0])) == pytest.approx(
        5, abs=0.01
    )


@pytest.mark.parametrize("up_to", [0.0, 12.0, np.inf])
def test_squares_of_the_chart_change_no_sign_and_no_distance_that_counts(up_to):
    """The reference is the outline's distance at near and far points, for a star with deep notches."""
    turn = np.linspace(0, 2 * np.pi, 22, endpoint=False)
    radius = np.where(np.arange(22) % 2, 18.0, 44.0)
    outline = tuple(zip(radius * np.cos(turn), radius * np.sin(turn), strict=True))
    shape = flap(outline_mm=outline, holes_mm=outline[:3], bevel=0.4)
    rng = np.random.default_rng(3)
    u, v = rng.uniform(-120, 120, (2, 40000))
    depth = rng.uniform(0, 15, u.shape)
    scale = (80 - depth) / np.sqrt(u * u + v * v + 6400)
    exact = shape._outline(u, v) * scale + 0.4 * depth
    found = shape.distance_mm(u * scale, v * scale, 80 * scale, up_to)
    counts = (exact > 1e-9) & (exact <= up_to)
    assert counts.sum() > (1000 if up_to else -1)
    assert found[counts] == pytest.approx(exact[counts], abs=1e-9)
    assert (found[exact > up_to] > up_to).all()
    assert np.array_equal(found[abs(exact) > 1e-9] > 0, exact[abs(exact) > 1e-9] > 0)


def test_a_bevelled_cut_gets_narrower_inwards():
    shape = flap(bevel=0.5, hole_radius_mm=0)
    for depth in (0.0, 4.0, 8.0):
        # Points at this depth below the surface at a fraction of the outline's width.
        edges = []
        for t in np.linspace(0, 40, 4001):
            direction = np.array([t, 0, 80.0]) / np.hypot(t, 80)
            edges.append(shape.distance_mm(*((80 - depth) * direction)[:, None])[0])
        half = np.linspace(0, 40, 4001)[np.argmax(np.array(edges) > 0)]
        # The outline has moved in by half the depth, in mm at that depth.
        scale = (80 - depth) / np.hypot(half, 80)
        assert (30 - half) * scale == pytest.approx(0.5 * depth, abs=0.05)


def test_a_cube_is_a_box_without_round_corners():
    recipe = Inject.model_validate({"recipes": {"cuboid": {"kind": "cuboid"}}}).recipes["cuboid"]
    (shape,) = recipe.draw(generator(1), SKULL, GRID, find_vault(SKULL, GRID)).shapes
    assert isinstance(shape, RoundedBox)
    assert shape.corner_radius_mm == shape.burr_radius_mm == 0
