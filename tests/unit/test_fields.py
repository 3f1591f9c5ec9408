"""Displacement fields and warps have the specified geometry."""

import numpy as np
import pytest
import torch

from calvaria.families.registration import fields
from calvaria.families.ssm.deformations import components, exponential, logarithm
from calvaria.geometry.grid import Grid
from calvaria.geometry.overlap import dice

GRID = Grid((24, 30, 26), 4.0)


def shell(grid: Grid = GRID, size: float = 1.0, thick: float = 0.18, low: float = -30.0) -> np.ndarray:
    """Return a vault, half of an ellipsoidal shell."""
    x, y, z = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    r = np.sqrt((x / 36) ** 2 + (y / 46) ** 2 + (z / 38) ** 2) / size
    return ((r > 1 - thick) & (r < 1) & (z > low)).astype(np.uint8)


def smooth(seed: int, size_mm: float, grid: Grid = GRID) -> torch.Tensor:
    """Return a smooth field of about this magnitude that vanishes at the border of the grid."""
    noise = torch.randn(1, 3, 4, 4, 4, generator=torch.Generator().manual_seed(seed))
    field = torch.nn.functional.interpolate(noise, grid.shape, mode="trilinear", align_corners=True)[0]
    x, y, z = (torch.sin(torch.linspace(0, torch.pi, n)) ** 2 for n in grid.shape)
    return size_mm * field * x[:, None, None] * y[:, None] * z


def test_a_field_of_nowhere_keeps_the_skull():
    mask = shell()
    skull = fields.prepare(mask, GRID, 8.0)
    assert np.array_equal(fields.warp(skull, torch.zeros(3, *GRID.shape), GRID), mask)


def test_whole_voxels_are_moved_exactly():
    """Pulling a skull by +8 mm in x moves it 8 mm to the left."""
    mask = shell()
    field = torch.zeros(3, *GRID.shape)
    field[0] = 8.0
    assert np.array_equal(fields.warp(fields.prepare(mask, GRID, 8.0), field, GRID)[:-2], mask[2:])


@pytest.mark.parametrize("spacing", [1.0, 2.0])
def test_thin_bone_neither_tears_nor_grows(spacing):
    """A 1.5-voxel shell, rotated and shifted by fractions of voxels, stays one piece of the same volume."""
    import cc3d

    fine = Grid((100, 120, 104), 1.0)
    mask = shell(fine, thick=0.04)
    coarse = fields.coarser(fine, spacing)
    field = smooth(3, 4.0, coarse) + 0.4
    warped = fields.warp(fields.prepare(mask, fine, 4.0), field, coarse)
    expected = fields.look_up(
        torch.from_numpy(mask[None].astype(np.float32)),
        fine,
        fields.centres(fine) + fields.look_up(field, coarse, fields.centres(fine)).movedim(0, -1),
        "zeros",
    ).sum()
    assert cc3d.connected_components(warped, connectivity=26).max() == 1
    assert np.count_nonzero(warped) == pytest.approx(float(expected), rel=0.002)


def test_what_is_outside_of_the_box_is_empty():
    """Bone that touches the lower border of the grid is not extended beyond it."""
    mask = shell(size=1.45, low=-60.0)
    assert mask[:, :, 0].any()
    field = torch.zeros(3, *GRID.shape)
    field[2] = -20.0
    warped = fields.warp(fields.prepare(mask, GRID, 8.0), field, GRID)
    assert not warped[:, :, :4].any()
    assert np.array_equal(warped[:, :, 5:], mask[:, :, :-5])


def test_fields_compose_in_the_order_in_which_they_are_gone():
    """A shift followed by scaling about the origin is 2 (p + 5) - p at p."""
    move = torch.full((3, *GRID.shape), 5.0)
    stretch = fields.centres(GRID).movedim(-1, 0).clone()
    both = fields.compose(move, stretch, GRID)
    inner = (slice(None), *(slice(4, -4),) * 3)
    expected = fields.centres(GRID).movedim(-1, 0) + 10.0
    assert torch.allclose(both[inner], expected[inner], atol=1e-3)


def test_a_field_and_its_inverse_lead_back():
    field = smooth(1, 5.0)
    back = fields.inverse(field, GRID)
    assert fields.compose(field, back, GRID).abs().max() < 0.1 * field.abs().max()
    assert fields.compose(field, back, GRID).square().mean() < 3e-3 * field.square().mean()


@pytest.mark.parametrize(("factor", "determinant"), [(0.5, 3.375), (-0.5, 0.125), (-2.0, -1.0)])
def test_the_jacobian_is_the_change_of_volume(factor, determinant):
    """Every length is multiplied by 1 + factor; the determinant of an inverted box is negative."""
    field = factor * fields.centres(GRID).movedim(-1, 0)
    assert torch.allclose(fields.jacobian(field, GRID.spacing_mm), torch.tensor(determinant), atol=1e-4)


def test_unfolding_leaves_no_fold_and_leaves_the_rest_alone():
    field = smooth(2, 3.0)
    field[:, 12, 15, 13] += 30.0
    field[:, 12, 15, 14] -= 30.0
    assert (fields.jacobian(field, GRID.spacing_mm) <= 0).any()
    mended = fields.unfold(field, GRID.spacing_mm)
    assert (fields.jacobian(mended, GRID.spacing_mm) > 0).all()
    assert torch.equal(mended[:, :3], field[:, :3])


def test_refining_brings_a_skull_closer_and_folds_nothing():
    skull, target = (fields.prepare(shell(size=size), GRID, 8.0) for size in (0.9, 1.0))
    field = torch.zeros(3, *GRID.shape)
    before = dice(shell(size=0.9), shell())
    field = fields.refine(skull, target.values[0], field, GRID, 10)
    assert dice(fields.warp(skull, field, GRID), shell()) > max(0.93, before + 0.2)
    assert (fields.jacobian(field, GRID.spacing_mm) > 0).all()


def test_fields_are_never_finer_than_volumes_and_cover_them():
    assert fields.coarser(GRID, 3.0) == GRID
    coarse = fields.coarser(GRID, 7.0)
    assert coarse.spacing_mm == 7.0
    assert all(a >= b for a, b in zip(coarse.extent_mm, GRID.extent_mm, strict=True))


def test_velocities_can_be_undone_however_large():
    """exp(v) and exp(-v) cancel without folding, unlike sums of displacements."""
    velocity = smooth(4, 25.0)
    there, back = exponential(velocity, GRID), exponential(-velocity, GRID)
    assert (fields.jacobian(velocity, GRID.spacing_mm) <= 0).any()
    assert (fields.jacobian(there, GRID.spacing_mm) > 0).all()
    left = fields.compose(there, back, GRID)
    assert left.square().mean().sqrt() < 0.05 * velocity.square().mean().sqrt()


def test_the_logarithm_gives_the_field_back():
    field = exponential(smooth(5, 8.0), GRID)
    again = exponential(logarithm(field, GRID), GRID)
    assert (again - field).square().mean().sqrt() < 0.04 * field.square().mean().sqrt()


def test_components_find_what_the_fields_vary_by():
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(3 * 60, 2)))[0].T.reshape(2, 3, 3, 4, 5)
    weights = rng.normal(size=(40, 2)) * (5.0, 2.0)
    mean, modes, shares = components(7.0 + np.einsum("nk,kcxyz->ncxyz", weights, directions), 0.999)
    centred = weights - weights.mean(axis=0)
    assert modes.shape == (2, 3, 3, 4, 5)
    assert shares.sum() == pytest.approx(1)
    assert np.linalg.norm(modes[0]) ** 2 == pytest.approx(np.linalg.eigvalsh(np.cov(centred.T))[1], rel=1e-4)
    assert mean == pytest.approx(7.0 + np.einsum("k,kcxyz->cxyz", weights.mean(axis=0), directions), abs=1e-4)
    assert (components(rng.normal(size=(5, 3, 2, 2, 2)), 1.0)[1]).shape[0] == 4
