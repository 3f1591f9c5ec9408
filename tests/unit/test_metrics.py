"""Scores equal those of the challenges to the last digit, for any shape, spacing and crop."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import distance

from calvaria.errors import InputError
from calvaria.metrics.scores import FAILED, PERFECT, score
from calvaria.sources.volumes import read_mask

SPACINGS = [0.4, 0.451, 0.633, 1.0, 1.7, 3.75, 11.0]


def brute_force(mask, spacing, at):
    """Return the distances in mm of all voxels of ``at`` to the nearest voxel of a mask, over all pairs."""
    here, there = (np.argwhere(m) * np.array(spacing) for m in (at, mask))
    return distance.cdist(here, there).min(axis=1)


def transform(mask, spacing, at):
    """Return the same by SciPy's exact distance transform, for masks too large for all pairs."""
    return ndimage.distance_transform_edt(~mask, sampling=spacing)[at]


def plain_score(prediction, reference, defective, spacing, distances=brute_force):
    """Score literally by the definitions, on whole volumes; masks must not be empty."""

    def dice(a, b):
        return 2 * (a & b).sum() / (a.sum() + b.sum()) if a.any() or b.any() else 1.0

    def near(mask, sampling, limit):
        found = mask.copy()
        found[mask] = (distances(defective, sampling, mask) / limit) ** 2 <= 1 + 1e-6
        return found

    borders = [m & ~ndimage.binary_erosion(m) for m in (prediction, reference)]
    there, back = (distances(borders[1 - i], spacing, borders[i]) for i in (0, 1))
    pooled = np.concatenate([there, back])
    rim = borders[1] & ndimage.binary_dilation(defective)
    return {
        "dsc": dice(prediction, reference),
        "bdsc_10mm": dice(*(near(m, spacing, 10) for m in (prediction, reference))),
        "bdsc_10vox": dice(*(near(m, (1, 1, 1), 10) for m in (prediction, reference))),
        "hd95_mm": np.percentile(pooled, 95),
        "surface_dice_1mm": np.mean(pooled <= 1 + 1e-6),
        "assd_mm": np.mean(pooled),
        "rim_gap_mm": np.percentile(distances(prediction, spacing, rim if rim.any() else borders[1]), 95),
    }


def random_blobs(rng, shape, quantile):
    """Return a mask of smooth blobs that may touch the border of the array."""
    field = ndimage.uniform_filter(rng.random(shape), int(rng.integers(1, 6)), mode="wrap")
    return field > np.quantile(field, quantile)


def block(shape, *spans):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*span) for span in spans)] = True
    return mask


@settings(derandomize=True, deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(2, 60), st.integers(2, 16), st.integers(2, 16)).flatmap(st.permutations),
    spacing=st.one_of(
        st.tuples(*[st.sampled_from(SPACINGS)] * 3), st.sampled_from(SPACINGS).map(lambda s: (s, s, s))
    ),
    apart=st.booleans(),
    order=st.sampled_from("CF"),
)
def test_equals_the_plain_implementation(seed, shape, spacing, apart, order):
    """Guards every definition, the cropping, the axis order of the spacing and the array's border."""
    rng = np.random.default_rng(seed)
    prediction, reference, defective = (random_blobs(rng, shape, q) for q in (0.8, 0.7, 0.97))
    if apart:  # distant masks are cropped to separate boxes
        axis = int(np.argmax(shape))
        np.moveaxis(prediction, axis, 0)[shape[axis] // 4 :] = False
        np.moveaxis(reference, axis, 0)[: -shape[axis] // 4] = False
    if not (prediction.any() and reference.any() and defective.any()):
        return
    masks = [np.asarray(mask, order=order) for mask in (prediction, reference, defective)]
    found = asdict(score(*masks, spacing))
    assert found == pytest.approx(plain_score(*masks, spacing), abs=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("step", [1, 3])
def test_shifted_block_has_the_known_answer(axis, step):
    """A shifted long bar has analytic scores, and each axis has its own spacing."""
    spacing = (0.5, 0.8, 2.0)
    reference = block((40, 40, 40), (10, 20), (10, 20), (10, 20))
    prediction = np.roll(reference, step, axis)
    scores = score(prediction, reference, ~reference, spacing)
    assert scores.dsc == pytest.approx((10 - step) / 10)
    assert scores.bdsc_10mm == scores.bdsc_10vox == scores.dsc  # the skull is all around
    assert scores.hd95_mm == pytest.approx(step * spacing[axis])  # end faces are over 5 % of the border


def test_hd95_pools_both_directions():
    """For a long prediction and a short reference, the larger of two percentiles would differ."""
    reference = block((4, 4, 50), (1, 2), (1, 2), (1, 5))
    prediction = block((4, 4, 50), (1, 2), (1, 2), (1, 48))
    pooled = [0.0] * 4 + [max(0.0, z - 4.0) for z in range(1, 48)]
    scores = score(prediction, reference, np.ones((4, 4, 50), bool), (1.0, 1.0, 1.0))
    assert scores.hd95_mm == pytest.approx(np.percentile(pooled, 95))
    assert scores.hd95_mm != pytest.approx(np.percentile(pooled[4:], 95), abs=1e-3)


def test_surface_dice_and_assd_of_parallel_plates():
    """Plates 2 mm apart: nothing within 1 mm, mean distance 2 mm; half a millimetre apart: all within."""
    a, b = block((9, 9, 30), (0, 9), (0, 9), (5, 6)), block((9, 9, 30), (0, 9), (0, 9), (9, 10))
    for spacing, share in ((0.5, 0.0), (0.25, 1.0)):
        scores = score(a, b, a, (1.0, 1.0, spacing))
        assert (scores.surface_dice_1mm, scores.assd_mm) == (share, 4 * spacing)


def test_a_cube_around_a_cube_has_the_known_answer():
    """With one voxel more on all sides, faces are 1, edges root two, corners root three spacings apart."""
    n, s = 9, 0.7
    inner = block((n + 4,) * 3, *[(2, n + 2)] * 3)
    outer = block((n + 4,) * 3, *[(1, n + 3)] * 3)
    found = score(outer, inner, ~outer, (s, s, s))
    steps = [1] * 6 * n**2 + [2] * 12 * n + [3] * 8 + [1] * (n**3 - (n - 2) ** 3)
    pooled = s * np.sqrt(steps)
    assert found.dsc == pytest.approx(2 * n**3 / (n**3 + (n + 2) ** 3))
    assert found.assd_mm == pytest.approx(pooled.mean())
    assert found.hd95_mm == pytest.approx(np.percentile(pooled, 95))
    assert found.surface_dice_1mm == pytest.approx(np.mean(pooled <= 1))
    assert found.rim_gap_mm == 0.0  # the reference touches no bone, and all of its border is covered


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("missing", [0, 1, 4])
def test_rim_gap_is_the_width_of_the_gap(axis, missing):
    """The plate has a square hole, and the implant is too short on one side."""
    spacing = (0.5, 0.8, 2.0)
    sides = [(5, 15), (5, 15), (8, 11)]
    plate = [(0, 20), (0, 20), (8, 11)]
    turned = [np.roll(np.array(part), axis, 0) for part in (sides, plate)]
    implant, skull = (block((20, 20, 20), *part) for part in turned)
    prediction = implant.copy()
    np.moveaxis(prediction, axis, 0)[15 - missing : 15] = False
    assert score(prediction, implant, skull & ~implant, spacing).rim_gap_mm == missing * spacing[axis]


def test_rim_gap_sees_gaps_only():
    """An implant that is too thick, or hollow, closes the rim; other scores detect these errors."""
    skull, implant = block((20, 20, 20), (0, 20), (0, 20), (8, 12)), block((20,) * 3, *[(5, 15)] * 2, (8, 12))
    hollow = implant & ~block((20,) * 3, *[(7, 13)] * 2, (8, 12))
    thick = block((20,) * 3, *[(5, 15)] * 2, (6, 16))
    for prediction in (implant, hollow, thick):
        assert score(prediction, implant, skull & ~implant, (1, 1, 1)).rim_gap_mm == 0.0


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_no_axis_and_no_order_of_memory_is_special(order):
    """Files may have any order of axes."""
    rng = np.random.default_rng(4)
    masks = [random_blobs(rng, (17, 25, 9), q) for q in (0.8, 0.7, 0.97)]
    spacing = (0.4, 1.7, 0.633)
    found = score(*(mask.transpose(order) for mask in masks), tuple(spacing[axis] for axis in order))
    assert asdict(found) == pytest.approx(asdict(score(*masks, spacing)), abs=1e-12)


def test_ten_millimetres_are_within_ten_millimetres():
    """Voxels exactly at the limit are included, even if the spacing has no exact binary form."""
    implant, skull = block((3, 3, 40), (1, 2), (1, 2), (0, 40)), block((3, 3, 40), (1, 2), (1, 2), (0, 1))
    prediction = block((3, 3, 40), (1, 2), (1, 2), (25, 40))
    scores = score(prediction, implant, skull, (0.4, 0.4, 0.4))
    assert scores.bdsc_10mm == pytest.approx(2 * 1 / (26 + 1))  # voxels 0 to 25 against voxel 25
    assert scores.bdsc_10vox == 0.0  # voxels 0 to 10 against none


def test_empty_predictions_are_counted():
    """An empty prediction must have bad scores and must not be dropped."""
    some, none = block((5, 5, 5), (1, 3), (1, 3), (1, 3)), np.zeros((5, 5, 5), bool)
    assert score(none, some, some, (1, 1, 1)) == FAILED
    assert score(some, none, some, (1, 1, 1)) == FAILED
    assert score(none, none, some, (1, 1, 1)) == PERFECT
    assert FAILED.dsc == 0
    assert FAILED.hd95_mm == math.inf
    assert score(some, some, some, (1, 1, 1)) == PERFECT


def test_unusable_input_is_an_error():
    """Grids are never resampled silently, and a missing skull is detected."""
    mask = np.ones((4, 4, 4), bool)
    with pytest.raises(InputError, match="one shape"):
        score(mask[:3], mask, mask, (1, 1, 1))
    with pytest.raises(InputError, match="spacing"):
        score(mask, mask, mask, (1, 0, 1))
    with pytest.raises(InputError, match="empty"):
        score(mask, mask, ~mask, (1, 1, 1))


def test_labels_and_masks_score_alike():
    """A uint8 mask may have any non-zero value; inputs stay unchanged."""
    rng = np.random.default_rng(3)
    masks = [random_blobs(rng, (12, 13, 14), 0.8) for _ in range(3)]
    labels = [mask.astype(np.uint8) * 2 for mask in masks]
    before = [label.copy() for label in labels]
    assert score(*masks, (1, 1, 1)) == score(*labels, (1, 1, 1))
    assert all(np.array_equal(a, b) for a, b in zip(before, labels, strict=True))


def native(folder, number):
    """Return implant and defective skull of a native case, (z, y, x) bool, and the (z, y, x) spacing."""
    paths = [folder / "training_set" / kind / f"{number}.nrrd" for kind in ("implant", "defective_skull")]
    if not all(path.is_file() for path in paths):
        pytest.skip(f"no native triplets at {folder}; set CALVARIA_REAL_DATA")
    implant, defective = (read_mask(path) for path in paths)
    spacing = tuple(np.linalg.norm(implant.affine[:3, :3], axis=0)[::-1])
    return implant.values.T > 0, defective.values.T > 0, spacing


def shifted(mask, *steps):
    """Return the mask shifted by some voxels along every axis, padded with zeros."""
    out = np.zeros_like(mask)
    kept = tuple(slice(None, n - step) for n, step in zip(mask.shape, steps, strict=True))
    out[tuple(slice(step, None) for step in steps)] = mask[kept]
    return out


@pytest.mark.real
def test_golden_value_of_a_native_case(real_skulls):
    """The values are the challenge script's for case 000, its implant shifted by (2, 1, 0) voxels."""
    reference, defective, _ = native(real_skulls.parent / "skullfix_native", "000")
    scores = score(shifted(reference, 2, 1, 0), reference, defective, (0.633, 0.451, 0.451))
    found = (scores.dsc, scores.bdsc_10mm, scores.bdsc_10vox, scores.hd95_mm)
    assert found == pytest.approx((0.828514, 0.825690, 0.810505, 1.343933), abs=6e-7)


@pytest.mark.real
@pytest.mark.parametrize("number", ["000", "050"])
def test_native_cases_equal_the_plain_implementation(real_skulls, number):
    """All scores at full size equal those from distance transforms of a box with a 20 mm margin.

    The box is sufficient, since only bone within 10 mm counts.
    """
    reference, defective, spacing = native(real_skulls.parent / "skullfix_native", number)
    prediction = shifted(reference, 1, 3, 2)
    used = np.argwhere(reference | prediction)
    margin = np.ceil(20 / np.array(spacing)).astype(int)
    low, high = np.maximum(used.min(axis=0) - margin, 0), used.max(axis=0) + margin + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    expected = plain_score(prediction[box], reference[box], defective[box], spacing, transform)
    assert asdict(score(prediction, reference, defective, spacing)) == pytest.approx(expected, abs=1e-6)
