"""An implant is what bone is missing between two surfaces, on the scan's own grid, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from calvaria.geometry.grid import Grid
from calvaria.geometry.region import Region
from calvaria.reconstruction.native_case import to_anchor
from calvaria.reconstruction.surfaces.cut import beyond_cone, cut_implant
from calvaria.reconstruction.surfaces.hole import RIM_PIXELS, directions_of, hole_directions
from calvaria.skull.pose import rotation_about
from calvaria.skull.vault_map import CENTRE_MM, CONE_DEG, SIZE, VaultPicture, directions, inside_cone

OUTER_MM, INNER_MM = 81.043, 74.93  # no voxel lies exactly on a surface
TOWARDS = np.array([0.65, 0.2, 0.7]) / np.linalg.norm([0.65, 0.2, 0.7])
ANGLE = 0.3  # rad, of the hole
ANCHOR_MM = 70.0


def vault(outer_mm: float = OUTER_MM, inner_mm: float = INNER_MM) -> VaultPicture:
    """Return the vault of a spherical shell around the map's centre."""
    return VaultPicture(*(np.full((SIZE, SIZE), mm, np.float32) for mm in (inner_mm, outer_mm, 150.0)))


def cap(angle: float) -> np.ndarray:
    """Return (SIZE, SIZE) bool, the directions within an angle in rad of the hole's middle."""
    return (directions() @ TOWARDS > np.cos(angle)) & inside_cone()


def shell(
    spacing_mm: tuple[float, float, float], turn_deg: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return bone with a hole, the missing part, (i, j, k) bool, and (4, 4) voxels to mm from the anchor."""
    shape = [round(190 / mm) for mm in spacing_mm]
    to_head = np.eye(4)
    to_head[:3, :3] = rotation_about(np.deg2rad([turn_deg, -turn_deg / 2, turn_deg])) @ np.diag(spacing_mm)
    to_head[:3, 3] = CENTRE_MM - to_head[:3, :3] @ ((np.array(shape) - 1) / 2)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    away = index @ to_head[:3, :3].T + to_head[:3, 3] - CENTRE_MM
    radius = np.linalg.norm(away, axis=-1)
    whole = (radius <= OUTER_MM) & (radius >= INNER_MM)
    missing = whole & (away @ TOWARDS > radius * np.cos(ANGLE))
    return whole & ~missing, missing, to_head


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.5), (3.0, 3.0, 3.0)])
@pytest.mark.parametrize("turn_deg", [0.0, 25.0])
def test_the_missing_bone_is_cut_and_no_other(spacing_mm, turn_deg):
    """The hole may be drawn wider than it is. Of thick slices, the tip of the rim is lost."""
    bone, missing, to_head = shell(spacing_mm, turn_deg)
    found = cut_implant(vault(), cap(ANGLE + 0.15), bone, to_head).whole()
    assert not (found & ~missing).any()
    assert (missing & ~found).sum() <= (0 if len(set(spacing_mm)) == 1 else 0.005) * missing.sum()


def test_no_film_is_left_on_bone_that_lies_a_little_lower():
    bone, missing, to_head = shell((1.0, 1.0, 1.0), 10.0)
    found = cut_implant(vault(OUTER_MM + 0.9, INNER_MM - 0.9), cap(ANGLE + 0.2), bone, to_head).whole()
    index = np.argwhere(found & ~missing) @ to_head[:3, :3].T + to_head[:3, 3] - CENTRE_MM
    angle = np.arccos(index @ TOWARDS / np.linalg.norm(index, axis=1))
    assert (angle < ANGLE + 2.5 / INNER_MM).all(), "within two voxels of the rim"
    assert (found & missing).sum() == missing.sum()


def test_nothing_is_cut_outside_of_the_hole_and_without_surfaces():
    bone, _, to_head = shell((2.0, 2.0, 2.0), 0.0)
    assert not cut_implant(vault(), np.zeros((SIZE, SIZE), bool), bone, to_head).whole().any()
    unknown = replace(vault(), outer_mm=np.zeros((SIZE, SIZE), np.float32))
    assert not cut_implant(unknown, cap(ANGLE), bone, to_head).whole().any()
    far = to_head.copy()
    far[:3, 3] += 1000  # the scan is elsewhere
    assert not cut_implant(vault(), cap(ANGLE), bone, far).whole().any()


def test_beyond_the_cone_is_what_the_map_does_not_show():
    bone, missing, to_head = shell((2.0, 2.0, 2.0), 0.0)
    rest = beyond_cone(Region.of(bone | missing), to_head).whole()
    away = np.argwhere(bone | missing) @ to_head[:3, :3].T + to_head[:3, 3] - CENTRE_MM
    below = away[:, 2] < np.linalg.norm(away, axis=1) * np.cos(np.deg2rad(CONE_DEG))
    assert np.array_equal(rest[bone | missing], below)
    assert not rest[~(bone | missing)].any()


GRID = Grid((49, 57, 39), 3.0)


def on_grid(angle: float) -> np.ndarray:
    """Return the shell's part within an angle of the hole's middle, (x, y, z) bool on the canonical grid."""
    away = np.stack(np.meshgrid(*(GRID.centres(axis) for axis in range(3)), indexing="ij"), axis=-1)
    away = away.reshape(*GRID.shape, 3) - (0, 0, ANCHOR_MM) - CENTRE_MM
    radius = np.maximum(np.linalg.norm(away, axis=-1), 1e-6)
    return (away @ TOWARDS > radius * np.cos(angle)) & (radius > 69) & (radius < OUTER_MM)


def test_a_hole_is_seen_from_inside_in_the_direction_in_which_it_is():
    seen = directions_of(on_grid(ANGLE), GRID, ANCHOR_MM)
    assert (cap(ANGLE - 0.05) <= seen).all()
    assert (seen <= cap(ANGLE + 0.05)).all()
    below = np.zeros(GRID.shape, bool)
    below[:, :, 0] = True
    assert not directions_of(below, GRID, ANCHOR_MM).any()


def test_the_hole_is_the_whole_opening_with_a_rim_but_no_other_opening():
    """The coarse networks have found a part of the opening; a natural opening elsewhere is not touched."""
    opening, other = cap(ANGLE), (directions()[..., 0] < -0.8) & inside_cone()
    seen = replace(vault(), outer_mm=np.where(opening | other, 0, OUTER_MM).astype(np.float32))
    hole = hole_directions(seen, on_grid(ANGLE / 2), GRID, ANCHOR_MM)
    assert (opening <= hole).all()
    assert not (hole & other).any()
    rim = 1.5 * RIM_PIXELS * np.deg2rad(2 * CONE_DEG / SIZE)
    assert (hole <= cap(ANGLE + rim)).all()
    closed = hole_directions(vault(), on_grid(ANGLE / 2), GRID, ANCHOR_MM)  # thinned bone
    assert (cap(ANGLE / 2 - 0.05) <= closed).all()
    assert (closed <= cap(ANGLE / 2 + 0.05 + rim)).all()


def test_the_anchor_is_the_origin():
    moved = to_anchor(GRID.affine, ANCHOR_MM)
    assert np.allclose(moved @ np.linalg.inv(GRID.affine) @ [0, 0, ANCHOR_MM, 1], [0, 0, 0, 1])
