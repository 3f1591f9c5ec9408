"""Windows are aligned to both grids, and all inputs of the fine network cover the same region."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calvaria.config import Optimiser, Refine
from calvaria.geometry.grid import Grid
from calvaria.reconstruction.coarse.network import BONE_LOGIT, ReconstructionNetwork
from calvaria.reconstruction.fine.inputs import Frame, fine_input
from calvaria.reconstruction.fine.network import fine_logits
from calvaria.reconstruction.fine.refiner import Refiner
from calvaria.reconstruction.fine.simulation import simulated_probability
from calvaria.reconstruction.fine.window import Window, fine_grid, window_around
from calvaria.reconstruction.masks import block_majority
from calvaria.skull.vault_map import inside_cone

GRID = Grid((32, 40, 32), 3.0)
SETTINGS = Refine(
    factor=3, window_mm=36.0, margin_mm=6.0, patch=2, channels=(8, 8, 16), optimiser=Optimiser(steps=1)
)


def blob(low: tuple[int, ...], size: int) -> np.ndarray:
    mask = np.zeros(GRID.shape, bool)
    mask[tuple(slice(a, a + size) for a in low)] = True
    return mask


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 30)] * 3), st.integers(1, 20))
def test_a_window_lies_in_the_grid_and_shows_the_whole_mask_with_a_margin(low, size):
    mask = blob(low, size)
    window = window_around(mask, SETTINGS, GRID)
    for start, length, n, found in zip(window.low, window.size, GRID.shape, np.argwhere(mask).T, strict=True):
        assert start >= 0
        assert start + length <= n
        assert length * SETTINGS.factor % SETTINGS.divisor == 0
        assert start <= max(0, found.min() - 1)
        assert start + length > min(n - 1, found.max())


def test_the_fine_grid_has_the_same_box():
    fine = fine_grid(GRID, 3)
    assert fine.extent_mm == pytest.approx(GRID.extent_mm)
    blocks = fine.centres(1).reshape(-1, 3).mean(axis=1)
    assert np.allclose(blocks, GRID.centres(1))


def test_a_voxel_of_the_grid_is_implant_if_half_of_its_fine_voxels_are():
    fine = np.zeros((4, 2, 2), bool)
    fine[0, :, :] = True  # 4 of 8
    fine[2, :, 0] = fine[2, 0, 1] = True  # 3 of 8
    assert block_majority(fine, 2).ravel().tolist() == [True, False]


def test_all_channels_show_the_same_place():
    bone = torch.zeros(fine_grid(GRID, 3).shape)
    bone[30:60, 33:63, 36:66] = 1
    window = Window((6, 9, 10), (16, 16, 16))
    bridged = bone[window.slices(3)].expand(2, -1, -1, -1)
    seen = fine_input(bone, bridged, window, 3)
    assert seen.shape == (1, 4, 48, 48, 48)
    assert torch.equal(seen[0, 0], bone[window.slices(3)])
    assert torch.equal(seen[0, 1], bone.flip(0)[window.slices(3)])
    assert torch.equal(seen[0, 2:], bridged)


def test_before_it_has_learned_the_fine_network_answers_with_the_bridge():
    network = ReconstructionNetwork(4, 2, (8, 8, 16)).eval()
    torch.nn.init.zeros_(network.heads[0].weight)
    depth, missing = torch.rand(1, 1, 16, 16, 16) * 2 - 1, torch.rand(1, 1, 16, 16, 16)
    seen = torch.cat([torch.zeros(1, 2, 16, 16, 16), depth, missing], dim=1)
    assert torch.equal(fine_logits(network, seen) > 0, (depth > 0) & (missing > 0.5))


def test_an_implant_is_never_in_bone_and_nothing_is_learned_there():
    """Predictions in bone would blur the rim and leave a gap of a millimetre around implants."""
    seen = torch.zeros(1, 2, 16, 16, 16)
    seen[:, 0, :, 4:10] = 1
    bone = seen[:, :1] > 0
    network = ReconstructionNetwork(2, 2, (8, 8, 16), heads=1)
    for answer in (network(seen), *network.level_logits(seen)):
        assert (answer[bone] == BONE_LOGIT).all()
        assert (answer[~bone] > BONE_LOGIT / 2).all()
        (slope,) = torch.autograd.grad(answer[bone].sum(), network.heads[0].bias, allow_unused=True)
        assert slope is None or not slope.any()
    skull = ReconstructionNetwork(2, 2, (8, 8, 16), exclude_bone=False)
    assert (skull(seen)[bone] > BONE_LOGIT / 2).all()


def test_a_simulated_probability_is_where_the_implant_is_but_of_other_shape():
    share = torch.zeros(20, 20, 20)
    share[6:14, 5:15, 8:12] = 1
    drawn = [simulated_probability(share, np.random.default_rng(seed)) for seed in range(30)]
    covered = [float(((d > 0.2) & (share > 0.5)).sum() / (share > 0.5).sum()) for d in drawn]
    sizes = [float((d > 0.5).sum() / (share > 0.5).sum()) for d in drawn]
    assert min(covered) > 0.6
    assert 0.6 < min(sizes) < 1.1
    assert max(sizes) > 1.8
    assert torch.equal(drawn[0], simulated_probability(share, np.random.default_rng(0)))


def test_a_mirrored_skull_gets_the_mirrored_implant():
    torch.manual_seed(0)
    network = ReconstructionNetwork(4, 2, (8, 8, 16)).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    rng = np.random.default_rng(0)
    probability = rng.random(GRID.shape, np.float32)
    bone = rng.random(fine_grid(GRID, 3).shape) < 0.3
    implant = blob((4, 10, 12), 6)
    pixels = int(inside_cone().sum())
    known = np.stack([np.full((2, pixels), 60.0), np.full((2, pixels), 62.0)]).astype(np.float32)
    known[:, 1] -= 6
    refiner = Refiner(network, known, Frame(SETTINGS, GRID, 40.0))
    first = refiner.refine(probability, implant, bone)
    mirrored = refiner.refine(probability[::-1].copy(), implant[::-1].copy(), bone[::-1].copy())
    assert mirrored.window.low[0] == GRID.shape[0] - first.window.low[0] - first.window.size[0]
    assert np.allclose(first.probability, mirrored.probability[::-1], atol=1e-5)
    assert np.array_equal(first.bone, bone[first.window.slices(3)])
    assert not first.probability[first.bone].any()
