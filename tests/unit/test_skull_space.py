"""Networks learn skulls of one size and place; the size of each is restored."""

import numpy as np
import pytest
import torch

from calvaria.errors import InputError
from calvaria.families.networks.autoencoders import MOST_FOLDED, Autoencoder
from calvaria.families.representation import TRUNCATION_MM, decode
from calvaria.families.skull_space import EncodedPopulation, SkullSpace, boxes
from calvaria.geometry.grid import Grid
from calvaria.geometry.overlap import dice
from calvaria.metrics.roughness import roughness
from calvaria.metrics.surface_map import map_surfaces
from calvaria.plugins.family import Population

GRID = Grid((64, 72, 64), 3.0)
SIZES = ((0.94, 0.96, 0.92), (1.0, 1.0, 1.0), (1.05, 1.03, 1.06))


def head(size=(1.0, 1.0, 1.0), shift_mm=(0.0, 0.0, 0.0), wall=0.9) -> np.ndarray:
    """Return an ellipsoidal vault, open below."""
    axes = (GRID.centres(axis) - shift_mm[axis] for axis in range(3))
    x, y, z = np.meshgrid(*axes, indexing="ij")
    r = np.sqrt((x / 66 / size[0]) ** 2 + (y / 85 / size[1]) ** 2 + (z / 70 / size[2]) ** 2)
    return ((r > wall) & (r < 1) & (z > -50)).astype(np.uint8)


@pytest.fixture(scope="module")
def heads() -> np.ndarray:
    return np.stack([head(size, (0, 2 * i, -3 * i)) for i, size in enumerate(SIZES)])


@pytest.fixture(scope="module")
def space(heads) -> SkullSpace:
    return SkullSpace.of(heads, "surfaces", GRID)


def test_a_skull_comes_back_from_the_space_with_its_own_size(heads, space):
    restored = decode(space.restore(space.encode(heads), boxes(heads, GRID)))
    for one, back in zip(heads, restored, strict=True):
        assert dice(one > 0, back > 0) > 0.97


def test_heads_that_differ_by_size_alone_have_nearly_the_same_field(heads, space):
    """What differs besides are voxels: less than half a spacing at the surface."""
    fields = TRUNCATION_MM * space.encode(heads)[:, 0, :, :, 36:]
    near = fields[1].abs() < 4
    for other in (0, 2):
        assert (fields[other] - fields[1]).abs()[near].mean() < 0.5 * GRID.spacing_mm
    unmoved = TRUNCATION_MM * SkullSpace.of(heads[1:2], "surfaces", GRID).encode(heads[1:2])[0, 0, :, :, 36:]
    assert torch.allclose(unmoved[near], fields[1][near], atol=GRID.spacing_mm)


def test_a_mixture_of_heads_of_two_sizes_is_as_smooth_as_they_are(space):
    """Mixed without a common size, its surface would bulge where the two surfaces lie apart."""
    pair = np.stack([head((0.93, 0.93, 0.93)), head((1.07, 1.07, 1.07))])
    mixture = space.encode(pair).mean(0, keepdim=True)
    mixed = decode(space.restore(mixture, boxes(pair, GRID).mean(0)[None]))[0]
    real = max(roughness(map_surfaces(one, GRID), GRID.spacing_mm)[0].max() for one in pair)
    assert roughness(map_surfaces(mixed, GRID), GRID.spacing_mm)[0].max() < 1.3 * real


def test_the_field_of_a_mirrored_skull_is_the_mirrored_field(heads, space):
    lopsided = heads[1].copy()
    lopsided[:20, 30:40, 40:50] = 0
    fields = space.encode(np.stack([lopsided, lopsided[::-1]]))
    assert torch.allclose(fields[0], fields[1].flip(1), atol=1e-5)


def test_drawn_boxes_have_the_spread_of_real_ones_and_follow_from_the_generator(space):
    drawn = np.stack([space.draw_box(np.random.default_rng(seed)) for seed in range(2000)])
    assert np.array_equal(drawn[7], space.draw_box(np.random.default_rng(7)))
    assert drawn.mean(0) == pytest.approx(space.box, abs=0.2)
    sizes, real = drawn[:, 1, 1], space.boxes[:, 1, 1]
    assert sizes.std() == pytest.approx(real.std(ddof=1), rel=0.3)
    assert abs(drawn[:, 0, 0].mean()) < 0.1  # neither side is preferred


def test_a_volume_without_a_vault_is_refused():
    with pytest.raises(InputError, match="no vault"):
        boxes(np.zeros((1, *GRID.shape), np.uint8), GRID)


def test_the_fraction_of_bone_is_that_of_the_skulls(heads):
    encoded = EncodedPopulation.of(Population(("a", "b", "c"), heads, heads[:1]), "surfaces", GRID)
    known = np.concatenate([heads, heads[:1]])
    assert encoded.bone_fraction == pytest.approx((known > 0).mean(), rel=0.1)


def test_large_blocks_are_projected_and_an_untrained_autoencoder_still_reconstructs(heads, space):
    fields = space.encode(heads)
    network = Autoencoder(GRID.shape, 2, patch=8, channels=(8,), blocks=1, latent_channels=32)
    assert network.encoder.blocks[0].conv.in_channels == MOST_FOLDED
    network.start(fields.mean(0), fields)
    with torch.inference_mode():
        rebuilt = network.eval().decode(network.encode(fields)[0])
    for one, back in zip(decode(fields.numpy()), decode(rebuilt.numpy()), strict=True):
        assert dice(one > 0, back > 0) > 0.9
