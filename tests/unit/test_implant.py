"""A fitted implant keeps its gap, can be inserted, is one closed surface, and is in the scan's geometry."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calvaria.reconstruction.implant.checks import check, thickness, to_json
from calvaria.reconstruction.implant.fitting import (
    PATH_MM,
    STEP_MM,
    clearance,
    cone,
    fit_implant,
    freest,
)
from calvaria.reconstruction.implant.mesh import mesh_bytes, surface
from calvaria.reconstruction.implant.space import Space, space_around

OBLIQUE = np.array([[-0.9, 0.0, 0.0, 10.0], [0.0, 0.0, 1.2, 3.0], [0.0, 0.9, 0.0, 4.0], [0.0, 0.0, 0.0, 1.0]])
AFFINES = {"upright": np.diag([1.0, 1.0, 1.0, 1.0]), "left-handed": OBLIQUE}


def shell_with_a_hole(undercut: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return bone and implant: a shell of 7 voxels and a hole; with undercut, the hole is wider inside."""
    x, y, z = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in (110, 120, 110)], indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    shell = (radius < 50) & (radius > 43)
    hole = np.hypot(x, z) < 16 + (1.2 * (50 - radius) if undercut else 0)
    hole &= y > 0
    return shell & ~hole, shell & hole


@pytest.fixture(scope="module", params=AFFINES)
def fitted(request):
    bone, implant = shell_with_a_hole()
    space = space_around(implant, bone, AFFINES[request.param])
    return space, fit_implant(space, 0.5), implant, AFFINES[request.param]


def test_everything_a_printer_asks_for(fitted):
    space, fit, _, _ = fitted
    found = to_json(check(surface(fit, space), fit, space, 2.0))
    assert found["passed"], found
    assert found["checks"]["gap"]["found"] == pytest.approx(0.5, abs=0.05)


def test_the_mesh_lies_where_the_implant_is_and_faces_outwards(fitted):
    space, fit, implant, affine = fitted
    mesh = surface(fit, space)
    middle = np.argwhere(implant).mean(axis=0) @ affine[:3, :3].T + affine[:3, 3]
    assert np.abs(mesh.center_mass - middle).max() < 0.5
    assert mesh.volume > 0
    voxels = np.count_nonzero(implant) * abs(np.linalg.det(affine[:3, :3]))
    assert 0.8 * voxels < mesh.volume < voxels  # reduced by the gap


def test_a_wider_gap_leaves_less(fitted):
    space, fit, _, _ = fitted
    wider = fit_implant(space, 2.0)
    assert np.count_nonzero(wider.level_mm < 0) < np.count_nonzero(fit.level_mm < 0)
    assert space.bone_mm[wider.level_mm < -space.spacing_mm].min() >= 2.0


def test_thickness_of_a_shell(fitted):
    space, fit, _, affine = fitted
    across = 7 * np.linalg.norm(affine[:3, :3], axis=0)[1]
    assert np.median(thickness(fit, space)) == pytest.approx(across, rel=0.15)


def test_what_is_behind_bone_is_given_up_so_that_it_can_be_put_in():
    bone, implant = shell_with_a_hole(undercut=True)
    space = space_around(implant, bone, AFFINES["upright"])
    fit = fit_implant(space, 0.3)
    assert fit.lost_ml > 0.5
    assert to_json(check(surface(fit, space), fit, space, 2.0))["checks"]["insertion"]["passed"]
    points = np.argwhere(fit.level_mm < 0) * space.spacing_mm
    assert clearance(space, points, fit.direction).min() > 0


def test_checks_can_fail():
    bone, implant = shell_with_a_hole()
    space = space_around(implant, bone, AFFINES["upright"])
    fit = fit_implant(space, 0.5)
    shut = replace(fit, direction=-fit.direction)
    into_bone = replace(fit, level_mm=fit.level_mm - 3)
    assert not to_json(check(surface(fit, space), fit, space, 20.0))["checks"]["thickness"]["passed"]
    assert not to_json(check(surface(into_bone, space), into_bone, space, 2.0))["checks"]["overlap"]["passed"]
    assert not to_json(check(surface(into_bone, space), into_bone, space, 2.0))["checks"]["gap"]["passed"]
    assert shut.direction @ space.outward < 0
    two = fit.level_mm.copy()
    two[:2, :2, :2] = -1
    halves = check(surface(replace(fit, level_mm=two), space), replace(fit, level_mm=two), space, 2.0)
    assert not to_json(halves)["checks"]["pieces"]["passed"]


def test_directions_fill_the_cone():
    axis = np.array([0.6, 0.0, 0.8])
    found = cone(axis)
    assert np.allclose(np.linalg.norm(found, axis=1), 1)
    assert np.allclose(found[0], axis)
    assert np.rad2deg(np.arccos((found @ axis).min())) == pytest.approx(40)


@pytest.mark.parametrize("name", ["implant.stl", "implant.ply"])
def test_a_mesh_survives_its_file(fitted, tmp_path, name):
    import trimesh

    space, fit, _, _ = fitted
    mesh = surface(fit, space)
    (tmp_path / name).write_bytes(mesh_bytes(mesh, Path(name).suffix))
    again = trimesh.load(tmp_path / name)
    assert again.is_watertight
    assert again.volume == pytest.approx(mesh.volume, rel=1e-4)
    assert np.allclose(again.bounds, mesh.bounds, atol=1e-3)


def test_distances_are_those_of_the_masks(fitted):
    space, _, implant, affine = fitted
    inside = np.count_nonzero(space.implant_mm < 0) * space.spacing_mm**3
    assert inside == pytest.approx(np.count_nonzero(implant) * abs(np.linalg.det(affine[:3, :3])), rel=0.03)
    assert isinstance(space, Space)


def test_the_direction_is_the_first_that_blocks_least(fitted):
    """Early termination of counting does not change the result."""
    space, _, _, _ = fitted
    inside = np.argwhere(space.implant_mm < 0)[::7] * space.spacing_mm
    for axis in (space.outward, np.array([0.0, 0.6, 0.8])):
        directions = cone(axis / np.linalg.norm(axis))
        blocked = [np.count_nonzero(clearance(space, inside, one) < 0.5) for one in directions]
        assert max(blocked) > min(blocked)
        assert np.array_equal(freest(space, inside, directions, 0.5), directions[np.argmin(blocked)])


def test_clearance_is_the_least_distance_on_the_way(fitted):
    """Positions outside the space are included, some of which enter it."""
    space, _, _, _ = fitted
    size = np.array(space.bone_mm.shape) * space.spacing_mm
    positions = np.random.default_rng(0).uniform(-8, size + 8, (500, 3))
    direction = np.array([0.0, -0.6, 0.8])
    expected = space.at(space.bone_mm, positions)
    for distance in np.arange(STEP_MM, PATH_MM, STEP_MM):
        moved = positions + distance * direction
        here = ((moved >= 0) & (moved <= size)).all(axis=1)
        expected[here] = np.minimum(expected[here], space.at(space.bone_mm, moved[here]))
    assert np.array_equal(clearance(space, positions, direction), expected)
