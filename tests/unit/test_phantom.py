"""Guarantees of the phantoms: the same bits on any machine, and a plausible, closed skull.

All tests run at 3 mm, the coarsest spacing at which the vault must stay closed.
"""

import dataclasses
import hashlib
import json
from functools import cache
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt
import pytest

from calvaria.sources.phantom.build import build_phantom
from calvaria.sources.phantom.parameters import Phantom, sample_phantom

SPACING = 3.0
SEEDS = range(4)
GOLDEN = "b761cf8d2a1c78478d163b86cbd2f571091aa19bf857ab563919275dec91b4aa"

Volume = npt.NDArray[np.uint8]


def draw(seed: int) -> Phantom:
    """Return the phantom of a seed."""
    return sample_phantom(np.random.Generator(np.random.PCG64(seed)))


@cache
def built(seed: int) -> tuple[Volume, npt.NDArray[np.float64]]:
    """Return the volume of a seed, built once for all tests."""
    return build_phantom(draw(seed), SPACING)


@cache
def upright(seed: int) -> tuple[Volume, npt.NDArray[np.float64]]:
    """Return the seed's skull in its own frame without pose, cut flat below the cranial base."""
    pose: dict[str, Any] = dict.fromkeys(
        ("pitch_deg", "roll_deg", "yaw_deg", "shift_x", "shift_y", "shift_z"), 0.0
    )
    cut = {"cut_height": -24.0, "cut_slope_x": 0.0, "cut_slope_y": 0.0}
    return build_phantom(dataclasses.replace(draw(seed), **(pose | cut)), SPACING)


def test_same_seed_draws_the_same_phantom_and_survives_json() -> None:
    phantom = draw(3)
    assert phantom == draw(3)
    assert phantom != draw(4)
    stored: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(phantom)))
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    assert Phantom(**fields) == phantom


def test_mask_is_bit_identical_everywhere() -> None:
    """A change of this hash changes every phantom; it must be intended and noted in the changelog."""
    mask, affine = built(0)
    digest = hashlib.sha256(np.packbits(mask).tobytes() + repr((mask.shape, affine.tolist())).encode())
    assert digest.hexdigest() == GOLDEN


def test_volume_is_labelled_and_placed() -> None:
    mask, affine = built(1)
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1}
    assert np.array_equal(affine[:3, :3], np.eye(3) * SPACING)
    assert affine.dtype == np.float64
    assert mask[[0, -1]].sum() == mask[:, [0, -1]].sum() == mask[:, :, [0, -1]].sum() == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_one_component(seed: int) -> None:
    assert cc3d.connected_components(built(seed)[0], connectivity=26).max() == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_vault_is_closed(seed: int) -> None:
    """Outside air is not connected to the inside of the head above the orbital roofs."""
    mask, affine = upright(seed)
    low = round((42.0 - affine[2, 3]) / SPACING)
    vault = mask.copy()
    vault[:, :, :low] = 1
    air = cc3d.connected_components(vault == 0, connectivity=6)
    centre = tuple(np.round((np.array([0.0, 0.0, 70.0]) - affine[:3, 3]) / SPACING).astype(int))
    assert air[centre] != 0
    assert air[centre] != air[0, 0, -1]


@pytest.mark.parametrize("seed", SEEDS)
def test_foramen_magnum_is_open(seed: int) -> None:
    """A straight line within a ring of bone leads down from the cranial cavity to the outside."""
    mask, affine = upright(seed)
    y = round((-17.0 * draw(seed).length - affine[1, 3]) / SPACING)
    top = round((60.0 - affine[2, 3]) / SPACING)
    below = mask[:, y - 2 : y + 3, :top].max(axis=2) == 0
    x = round(-affine[0, 3] / SPACING)
    assert below[x - 2 : x + 3].any()
    assert mask[: x - 5, y, :top].any()
    assert mask[x + 6 :, y, :top].any()


def test_population_varies_within_the_real_range() -> None:
    """Widths, lengths and their ratio are close to those of 75 adults (121-152, 160-200 mm, 0.67-0.89)."""
    sizes = np.array([vault_size(built(seed)[0]) for seed in SEEDS])
    width, length = sizes.T
    assert 115 <= width.min() < width.max() <= 160
    assert 155 <= length.min() < length.max() <= 208
    assert 0.62 <= (width / length).min() < (width / length).max() <= 0.95
    assert width.std() > 2
    assert length.std() > 3


def vault_size(mask: Volume) -> tuple[float, float]:
    """Return width and length in mm of the upper 85 mm."""
    top = int(np.flatnonzero(mask.any(axis=(0, 1)))[-1])
    vault = mask[:, :, top - 28 : top + 1]
    width = np.ptp(np.flatnonzero(vault.any(axis=(1, 2)))) + 1
    length = np.ptp(np.flatnonzero(vault.any(axis=(0, 2)))) + 1
    return float(width) * SPACING, float(length) * SPACING


def test_heads_are_not_symmetric() -> None:
    """No mirror image of a phantom coincides with it, even without pose."""
    for seed in (0, 1):
        mask, affine = upright(seed)
        middle = round(-affine[0, 3] / SPACING)
        half = min(middle, mask.shape[0] - 1 - middle)
        centred = mask[middle - half : middle + half + 1]
        differing = np.count_nonzero(centred != centred[::-1])
        assert 0.02 < differing / (2 * np.count_nonzero(centred)) < 0.7


def test_arch_stands_free_of_the_temporal_fossa() -> None:
    """Some lateral line passes through the zygomatic arch, then air, then the wall of the skull."""
    mask, affine = upright(2)
    y = round((34.0 * draw(2).length - affine[1, 3]) / SPACING)
    low, high = (round((z - affine[2, 3]) / SPACING) for z in (-10.0, 4.0))
    right = mask[round(-affine[0, 3] / SPACING) :, y, low:high].astype(np.int8)
    edges = np.count_nonzero(np.diff(right, axis=0), axis=0)
    assert edges.max() >= 3
