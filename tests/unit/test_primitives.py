"""Shared primitives are bit-identical to the formulas that they replaced."""

import cc3d
import edt
import numpy as np
import pytest
import torch

from calvaria.families.autoencoding import SHARPNESS, reconstruction_loss
from calvaria.geometry.components import centroid, largest_component
from calvaria.geometry.overlap import dice, dice_of_pairs
from calvaria.geometry.projection import pixel_directions, pixel_positions
from calvaria.geometry.rotation import rotation_of_half_tangents
from calvaria.geometry.signed_distance import signed_depth
from calvaria.geometry.thresholds import count_keeping_threshold
from calvaria.reconstruction.coarse.network import mean_probability
from calvaria.skull.quality import largest_share
from calvaria.training.losses import dice_and_cross_entropy
from calvaria.training.principal_components import principal_components, with_positive_peaks

SHAPE = (9, 12, 7)


def masks(count: int, share: float = 0.3) -> np.ndarray:
    return np.random.default_rng(count).random((count, *SHAPE)) < share


def test_dice_of_two_masks() -> None:
    for one, other in zip(masks(6), masks(6)[::-1], strict=True):
        total = np.count_nonzero(one) + np.count_nonzero(other)
        assert dice(one, other) == float(2 * np.count_nonzero(one & other) / total)
        assert dice(one.astype(np.uint8), 2 * other.astype(np.uint8)) == dice(one, other)


def test_dice_of_empty_masks() -> None:
    empty, full = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    assert dice(empty, empty) == 1
    assert dice(empty, empty, both_empty=0.0) == 0
    assert dice(empty, full) == dice(full, empty) == 0
    assert dice_of_pairs(empty[None], empty[None]) == 0
    with pytest.raises(ValueError, match="expected masks of one shape"):
        dice(empty, empty[1:])


def test_dice_of_pairs_is_that_of_each() -> None:
    one, other = masks(5), masks(5, 0.5)
    assert dice_of_pairs(one, other).tolist() == [dice(a, b) for a, b in zip(one, other, strict=True)]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_signed_depth(share: float, scale: float) -> None:
    mask = np.ascontiguousarray(masks(1, share)[0])
    inside, outside = edt.edt(mask, black_border=False), edt.edt(~mask, black_border=False)
    found = signed_depth(mask)
    assert found.dtype == np.float32
    assert np.array_equal(found, np.where(mask, inside - 0.5, 0.5 - outside))
    apart = np.where(mask, edt.edt(mask, black_border=False) - 0.5, 0.5 - edt.edt(~mask, black_border=False))
    assert np.array_equal(np.clip(found * scale, -2, 2), np.clip(apart * scale, -2, 2))
    assert ((found > 0) == mask).all()
    assert np.abs(found).min() >= 0.5


@pytest.mark.parametrize("decimals", [8, 1])  # few decimals cause ties
def test_threshold_that_keeps_a_count(decimals: int) -> None:
    values = np.random.default_rng(3).random(SHAPE).round(decimals).astype(np.float32)
    for count in (1, 2, 100, values.size):
        threshold = count_keeping_threshold(values, count)
        assert threshold == np.sort(values, axis=None)[-count]
        assert threshold == np.partition(values, -count, axis=None)[-count]
        assert threshold == np.partition(values.ravel(), values.size - count)[values.size - count]
        assert np.count_nonzero(values > threshold) < count <= np.count_nonzero(values >= threshold)
    for count in (0, values.size + 1):
        with pytest.raises(ValueError, match="expected a count"):
            count_keeping_threshold(values, count)


@pytest.mark.parametrize("connectivity", [6, 26])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.6])  # with few voxels, several are equally large
@pytest.mark.parametrize("order", ["C", "F"])
def test_largest_component(connectivity: int, share: float, order: str) -> None:
    for each in masks(8, share):
        mask = np.asarray(each, order=order)  # type: ignore[call-overload]
        found = largest_component(mask, connectivity)
        assert found.dtype == bool
        assert np.array_equal(found, cc3d.largest_k(mask, k=1, connectivity=connectivity) > 0)
        assert np.array_equal(found, largest_component(mask.astype(np.uint8), connectivity))
        sizes = np.bincount(cc3d.connected_components(mask, connectivity=connectivity).ravel())[1:]
        assert np.count_nonzero(found) == sizes.max(initial=0)


def test_share_of_the_largest_component_on_unequal_spacings() -> None:
    affine = np.diag([0.3, 0.9, 2.0, 1.0])
    for mask in masks(4, 0.1):
        coarse = mask[::3].astype(np.uint8)
        sizes = np.bincount(cc3d.connected_components(coarse, connectivity=26).ravel())[1:]
        assert largest_share(mask.astype(np.uint8), affine) == float(sizes.max() / sizes.sum())
    assert largest_share(np.zeros(SHAPE, np.uint8), affine) == 0


def test_largest_component_of_an_empty_mask() -> None:
    found = largest_component(np.zeros(SHAPE, np.uint8))
    assert found.shape == SHAPE
    assert found.dtype == bool
    assert not found.any()


@pytest.mark.parametrize("order", ["C", "F"])
def test_centroid(order: str) -> None:
    for each in masks(4, 0.05):
        mask = np.asarray(each, order=order)  # type: ignore[call-overload]
        assert np.array_equal(centroid(mask), np.argwhere(mask).mean(axis=0))


@pytest.mark.parametrize(("size", "cone_deg"), [(96, 125.0), (7, 100.0)])
def test_directions_of_pixels(size: int, cone_deg: float) -> None:
    places = (np.arange(size) + 0.5) / size * 2 - 1
    first, second = np.meshgrid(places, places, indexing="ij")
    assert np.array_equal(pixel_positions(size), (first, second))
    reach, from_pole = np.deg2rad(cone_deg), np.hypot(first, second)
    sine = np.sin(from_pole * reach) / np.maximum(from_pole, 1e-9)
    rays = np.stack([first * sine, second * sine, np.cos(from_pole * reach)], axis=-1)
    found = pixel_directions(size, cone_deg)
    assert np.array_equal(found, rays)
    assert np.linalg.norm(found, axis=-1) == pytest.approx(1)


def test_rotation_of_half_tangents() -> None:
    for a, b, c in np.random.default_rng(5).normal(0, 0.3, (20, 3)):
        old = np.array(
            [
                [1 + a * a - b * b - c * c, 2 * (a * b - c), 2 * (a * c + b)],
                [2 * (a * b + c), 1 - a * a + b * b - c * c, 2 * (b * c - a)],
                [2 * (a * c - b), 2 * (b * c + a), 1 - a * a - b * b + c * c],
            ]
        ) / (1 + a * a + b * b + c * c)
        found = np.array(rotation_of_half_tangents(a, b, c))
        assert np.array_equal(found, old)
        assert found @ found.T == pytest.approx(np.eye(3))
        assert np.linalg.det(found) == pytest.approx(1)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_principal_components(count: int) -> None:
    rows = torch.randn(8, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rows = rows - rows.mean(0)
    squares, vectors = torch.linalg.eigh(rows @ rows.T / len(rows))
    old = vectors.flip(1)[:, :count].T @ rows
    old = old / old.norm(dim=1, keepdim=True).clamp(min=1e-9)
    old = old * old[torch.arange(count), old.abs().argmax(1)].sign()[:, None]
    found, variances = principal_components(rows, count)
    assert torch.equal(found, old)
    assert torch.equal(variances, squares.flip(0))


def test_signs_of_peaks() -> None:
    columns = torch.randn(30, 6, generator=torch.Generator().manual_seed(2))
    columns[15:] = -columns[:15]  # the largest magnitude occurs twice, once with either sign
    old = columns * columns[columns.abs().argmax(0), torch.arange(6)].sign()
    assert torch.equal(with_positive_peaks(columns.T).T, old)


@pytest.mark.parametrize("target_share", [0.0, 0.02, 0.5])
def test_dice_and_cross_entropy(target_share: float) -> None:
    """The loss is also defined for an empty implant, where Dice alone would be 0 / 0."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((3, 1, *SHAPE), generator=generator, dtype=torch.float64)
    target = (torch.rand(logits.shape, generator=generator) < target_share).double()
    probability = 1 / (1 + torch.exp(-logits))
    overlap, total = ((probability * target).flatten(1).sum(1), (probability + target).flatten(1).sum(1))
    entropy = -(target * probability.log() + (1 - target) * (1 - probability).log()).mean()
    expected = 1 - ((2 * overlap + 1) / (total + 1)).mean() + entropy
    assert dice_and_cross_entropy(logits, target).item() == pytest.approx(expected.item(), rel=1e-12)
    unsmoothed = 1 - (2 * overlap / total).mean() + entropy
    found = reconstruction_loss(logits / SHARPNESS, 2 * target - 1, "occupancy").item()
    assert found == pytest.approx(unsmoothed.item(), rel=1e-6)


@pytest.mark.parametrize("flip", [False, True])
def test_mean_probability(flip: bool) -> None:
    """The mean is over two different asymmetric networks and, optionally, the flipped input."""
    ramp = torch.linspace(-1, 1, SHAPE[0])[:, None, None]
    networks = [lambda inputs: inputs * ramp, lambda inputs: inputs + ramp]
    inputs = torch.randn((2, 1, *SHAPE), generator=torch.Generator().manual_seed(1))
    plain = [torch.sigmoid(inputs * ramp), torch.sigmoid(inputs + ramp)]
    flipped = [torch.sigmoid(inputs * -ramp), torch.sigmoid(inputs - ramp)]
    expected = torch.stack(plain + flipped if flip else plain).mean(0)
    assert torch.allclose(mean_probability(networks, inputs, flip), expected, atol=1e-6)  # type: ignore[arg-type]
