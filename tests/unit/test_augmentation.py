"""Geometric augmentation reaches the network, moves cases as specified, and keeps labels disjoint."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from calvaria.config import LEVELS, Geometric
from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.reconstruction.coarse.augmentation import Change, apply_changes, sample_change
from calvaria.reconstruction.coarse.network import network_input, network_target

STILL = Geometric(
    probability=1.0, flips=(), rotate_deg=0, translate_voxels=0, scale=(1, 1), crop=0, edge_noise=0
)


def draw(settings: Geometric, grid, seed: int = 0) -> Change:
    return sample_change(np.random.default_rng(seed), settings, grid)


def with_matrix(grid, matrix: np.ndarray) -> Change:
    return replace(draw(STILL, grid), matrix=matrix)


@pytest.fixture
def case(dome) -> torch.Tensor:
    dome[24:30, 30:36, 25:][dome[24:30, 30:36, 25:] > 0] = IMPLANT
    return torch.from_numpy(dome)[None]


@pytest.mark.parametrize("settings", [STILL, LEVELS["extreme"].model_copy(update={"probability": 0.0})])
def test_nothing_to_do_or_no_chance_to_do_it_changes_nothing(case, grid, settings):
    for seed in range(5):
        assert torch.equal(apply_changes(case, [draw(settings, grid, seed)]), case)


def test_a_mirror_image_is_the_flipped_array(case, grid):
    for axis, name in enumerate("xyz"):
        settings = STILL.model_copy(update={"flips": (name,)})
        found = [apply_changes(case, [draw(settings, grid, seed)]) for seed in range(20)]
        flipped = sum(torch.equal(one, case.flip(axis + 1)) for one in found)
        still = sum(torch.equal(one, case) for one in found)
        assert flipped + still == 20
        assert flipped > 3
        assert still > 3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shift_moves_along_its_axis_in_voxels(case, grid, axis):
    """The matrix maps output voxels to input voxels."""
    matrix = np.eye(3, 4, dtype=np.float32)
    matrix[axis, 3] = 2 * grid.spacing_mm / (grid.extent_mm[axis] / 2)
    moved = apply_changes(case, [with_matrix(grid, matrix)])
    assert torch.equal(moved, case.roll(-2, dims=axis + 1))
    drawn = [draw(STILL.model_copy(update={"translate_voxels": 3}), grid, seed) for seed in range(50)]
    voxels = np.array([one.matrix[:, 3] * grid.extent_mm / 2 / grid.spacing_mm for one in drawn])
    assert 2.5 < np.abs(voxels).max() <= 3


def test_a_rotation_is_rigid_in_an_oblong_box(grid):
    """A ball stays a ball."""
    x, y, z = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    ball = torch.from_numpy(((x**2 + y**2 + z**2) < 60**2).astype(np.uint8))[None]
    turned = apply_changes(ball, [draw(STILL.model_copy(update={"rotate_deg": 45}), grid, 3)])
    overlap = 2 * (turned & ball).sum() / (turned.sum() + ball.sum())
    assert overlap > 0.97


@pytest.mark.parametrize("scale", [0.4, 1.3])
def test_a_scale_is_of_the_head(case, grid, scale):
    moved = apply_changes(case, [draw(STILL.model_copy(update={"scale": (scale, scale)}), grid)])
    whole = torch.argwhere(case[0] > 0)
    made = torch.argwhere(moved[0] > 0)
    ratio = (made.amax(0) - made.amin(0))[0] / (whole.amax(0) - whole.amin(0))[0]
    assert float(ratio) == pytest.approx(min(scale, 1.2), rel=0.15)


def test_a_crop_cuts_a_side_off_and_nothing_else(case, grid):
    settings = STILL.model_copy(update={"crop": 0.5})
    sides = set()
    for seed in range(40):
        change = draw(settings, grid, seed)
        cropped = apply_changes(case, [change])
        inside = tuple(slice(a, b) for a, b in zip(change.low, change.high, strict=True))
        assert torch.equal(cropped[0][inside], case[0][inside])
        assert cropped.sum() == case[0][inside].sum()
        sides |= {(axis, "low") for axis in range(3) if change.low[axis]}
        sides |= {(axis, "high") for axis in range(3) if change.high[axis] < grid.shape[axis]}
    assert len(sides) == 6


def test_noise_changes_surface_voxels_of_the_bone_alone(case, grid):
    noisy = apply_changes(case, [draw(STILL.model_copy(update={"edge_noise": 0.3}), grid)])[0]
    before = case[0]
    assert torch.equal(noisy == IMPLANT, before == IMPLANT)
    changed = (noisy != before).numpy()
    assert changed.any()
    bone = (before == BONE).numpy()
    near = np.zeros_like(bone)
    for shift in np.argwhere(np.ones((3, 3, 3))) - 1:
        near |= np.roll(bone, shift, (0, 1, 2)) != bone
    assert not (changed & ~near).any()
    assert changed.sum() / near.sum() == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("level", ["mild", "strong", "extreme"])
def test_bone_and_implant_stay_disjoint_labels(case, grid, seed, level):
    moved = apply_changes(case, [draw(LEVELS[level], grid, seed)])
    assert moved.dtype == torch.uint8
    assert set(moved.unique().tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("seed", range(5))
def test_a_small_motion_keeps_volumes(case, grid, seed):
    settings = STILL.model_copy(update={"translate_voxels": 1, "rotate_deg": 10})
    moved = apply_changes(case, [draw(settings, grid, seed)])
    for label in (1, 2):
        assert (moved == label).sum().item() == pytest.approx((case == label).sum().item(), rel=0.12)


def test_levels_grow(case, grid):
    """The stronger the level, the more the network's input differs from the skull."""
    overlaps = []
    for level in ("mild", "strong", "extreme"):
        moved = [apply_changes(case, [draw(LEVELS[level], grid, seed)])[0] > 0 for seed in range(12)]
        whole = case[0] > 0
        overlaps.append(
            np.mean([float(2 * (one & whole).sum() / (one.sum() + whole.sum())) for one in moved])
        )
    assert overlaps[0] > overlaps[1] > overlaps[2]
    extreme = LEVELS["extreme"]
    assert (extreme.probability, extreme.flips, extreme.rotate_deg) == (0.75, ("x", "y", "z"), 45)
    assert (extreme.translate_voxels, extreme.scale) == (15, (0.4, 1.3))


def test_drawing_is_repeatable_and_varied(grid):
    draws = [draw(LEVELS["strong"], grid, seed) for seed in (1, 1, 2)]
    assert np.array_equal(draws[0].matrix, draws[1].matrix)
    assert draws[0].noise_seed == draws[1].noise_seed
    assert not np.array_equal(draws[0].matrix, draws[2].matrix)


def test_the_network_sees_bone_alone(case):
    """Neither the implant nor the kind of the defect reaches the network's input."""
    seen = network_input(case, mirror=True)[0]
    assert torch.equal(seen[0] > 0, case[0] == BONE)
    assert torch.equal(seen[1] > 0, case[0].flip(0) == BONE)
    assert torch.equal(network_target(case, "implant")[0, 0] > 0, case[0] == IMPLANT)
    assert torch.equal(network_target(case, "skull")[0, 0] > 0, case[0] > 0)
