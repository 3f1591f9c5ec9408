"""Geometric augmentation truly reaches the network, moves cases as it says, and keeps labels disjoint."""

import numpy as np
import pytest
import torch

from calvaria.config import Geometric
from calvaria.grid import IMPLANT
from calvaria.reconstruction.augmentation import apply_affine, sample_affine
from calvaria.reconstruction.network import network_input, network_target

STILL = Geometric(probability=0.0)


@pytest.fixture
def case(dome) -> torch.Tensor:
    dome[24:30, 30:36, 25:][dome[24:30, 30:36, 25:] > 0] = IMPLANT
    return torch.from_numpy(dome)[None]


def test_probability_zero_changes_nothing(case, grid):
    matrix = sample_affine(np.random.default_rng(0), STILL, grid)
    assert torch.equal(apply_affine(case, matrix[None]), case)


def test_a_mirror_image_is_the_flipped_array(case, grid):
    mirror = np.eye(3, 4, dtype=np.float32)
    mirror[0, 0] = -1
    assert torch.equal(apply_affine(case, mirror[None]), case.flip(1))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shift_moves_along_its_axis_in_mm(case, grid, axis):
    """Two voxels; the matrix says where an output voxel comes from."""
    matrix = np.eye(3, 4, dtype=np.float32)
    matrix[axis, 3] = 2 * grid.spacing_mm / (grid.extent_mm[axis] / 2)
    moved = apply_affine(case, matrix[None])
    assert torch.equal(moved, case.roll(-2, dims=axis + 1))


def test_a_rotation_is_rigid_in_an_oblong_box(grid):
    """A ball stays a ball."""
    x, y, z = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    ball = torch.from_numpy(((x**2 + y**2 + z**2) < 60**2).astype(np.uint8))[None]
    settings = Geometric(probability=1.0, mirror=False, rotate_deg=45, translate_mm=0, scale=(1, 1))
    matrix = sample_affine(np.random.default_rng(3), settings, grid)
    turned = apply_affine(ball, matrix[None])
    overlap = 2 * (turned & ball).sum() / (turned.sum() + ball.sum())
    assert overlap > 0.97


@pytest.mark.parametrize("seed", range(5))
def test_bone_and_implant_stay_disjoint_and_keep_their_volume(case, grid, seed):
    settings = Geometric(scale=(1, 1), translate_mm=4, rotate_deg=10)
    moved = apply_affine(case, sample_affine(np.random.default_rng(seed), settings, grid)[None])
    assert set(moved.unique().tolist()) == {0, 1, 2}
    for label in (1, 2):
        assert (moved == label).sum().item() == pytest.approx((case == label).sum().item(), rel=0.12)


def test_drawing_is_repeatable_and_varied(grid):
    draws = [sample_affine(np.random.default_rng(seed), Geometric(), grid) for seed in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_the_network_sees_bone_alone(case):
    """Neither the implant nor the kind of the defect reaches the network's input."""
    seen = network_input(case)[0, 0]
    assert torch.equal(seen > 0, case[0] == 1)
    assert torch.equal(network_target(case)[0, 0] > 0, case[0] == 2)
