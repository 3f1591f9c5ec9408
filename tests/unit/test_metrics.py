"""Scores are those of the challenges, to the last digit, whatever the shape, the spacing and the crop."""

import gzip
import math
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from calvaria.errors import InputError
from calvaria.evaluation.metrics import FAILED, PERFECT, score

SHARED = Path(os.environ.get("CALVARIA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
NATIVE = SHARED / "skullfix_native" / "training_set"
SPACINGS = [0.4, 0.451, 0.633, 1.0, 1.7, 3.75, 11.0]


def plain_score(prediction, reference, defective, spacing):
    """The definitions word for word, on whole volumes; both implants must not be empty."""

    def dice(a, b):
        return 2 * (a & b).sum() / (a.sum() + b.sum()) if a.any() or b.any() else 1.0

    def distance_to(mask, sampling):
        return ndimage.distance_transform_edt(~mask, sampling=sampling)

    borders = [m & ~ndimage.binary_erosion(m) for m in (prediction, reference)]
    there = distance_to(borders[1], spacing)[borders[0]]
    back = distance_to(borders[0], spacing)[borders[1]]
    pooled = np.concatenate([there, back])
    mm = (distance_to(defective, spacing) / 10) ** 2 <= 1 + 1e-6
    voxels = distance_to(defective, (1, 1, 1)) <= 10
    return {
        "dsc": dice(prediction, reference),
        "bdsc_10mm": dice(prediction & mm, reference & mm),
        "bdsc_10vox": dice(prediction & voxels, reference & voxels),
        "hd95_mm": np.percentile(pooled, 95),
        "surface_dice_1mm": np.mean(pooled <= 1 + 1e-6),
        "assd_mm": np.mean(pooled),
    }


def random_blobs(rng, shape, quantile):
    """A mask of smooth blobs that may touch the border of the array."""
    field = ndimage.uniform_filter(rng.random(shape), int(rng.integers(1, 6)), mode="wrap")
    return field > np.quantile(field, quantile)


def block(shape, *spans):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*span) for span in spans)] = True
    return mask


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(*[st.integers(2, 30)] * 3),
    spacing=st.one_of(
        st.tuples(*[st.sampled_from(SPACINGS)] * 3), st.sampled_from(SPACINGS).map(lambda s: (s, s, s))
    ),
)
def test_equals_the_plain_implementation(seed, shape, spacing):
    """Protects every definition, the cropping, the axis order of the spacing and the array's border."""
    rng = np.random.default_rng(seed)
    prediction, reference, defective = (random_blobs(rng, shape, q) for q in (0.8, 0.7, 0.97))
    if not (prediction.any() and reference.any() and defective.any()):
        return
    found = asdict(score(prediction, reference, defective, spacing))
    wanted = plain_score(prediction, reference, defective, spacing)
    assert found == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("step", [1, 3])
def test_shifted_block_has_the_known_answer(axis, step):
    """A long bar shifted across itself: analytic, and each axis takes its own spacing."""
    spacing = (0.5, 0.8, 2.0)
    reference = block((40, 40, 40), (10, 20), (10, 20), (10, 20))
    prediction = np.roll(reference, step, axis)
    scores = score(prediction, reference, ~reference, spacing)
    assert scores.dsc == pytest.approx((10 - step) / 10)
    assert scores.bdsc_10mm == scores.bdsc_10vox == scores.dsc  # the skull is all around
    assert scores.hd95_mm == pytest.approx(step * spacing[axis])  # both end faces hold over 5 % of the border


def test_hd95_pools_both_directions():
    """One long prediction and a short reference: the larger of two percentiles would be another number."""
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


def test_ten_millimetres_are_within_ten_millimetres():
    """Voxels exactly at the limit count, also where the spacing has no exact binary form."""
    implant, skull = block((3, 3, 40), (1, 2), (1, 2), (0, 40)), block((3, 3, 40), (1, 2), (1, 2), (0, 1))
    prediction = block((3, 3, 40), (1, 2), (1, 2), (25, 40))
    scores = score(prediction, implant, skull, (0.4, 0.4, 0.4))
    assert scores.bdsc_10mm == pytest.approx(2 * 1 / (26 + 1))  # voxels 0 to 25 against voxel 25
    assert scores.bdsc_10vox == 0.0  # voxels 0 to 10 against none


def test_empty_predictions_are_counted():
    """An empty prediction must never look good, nor be dropped."""
    some, none = block((5, 5, 5), (1, 3), (1, 3), (1, 3)), np.zeros((5, 5, 5), bool)
    assert score(none, some, some, (1, 1, 1)) == FAILED
    assert score(some, none, some, (1, 1, 1)) == FAILED
    assert score(none, none, some, (1, 1, 1)) == PERFECT
    assert FAILED.dsc == 0
    assert FAILED.hd95_mm == math.inf
    assert score(some, some, some, (1, 1, 1)) == PERFECT


def test_unusable_input_is_an_error():
    """Grids are never resampled silently, and a forgotten skull is found."""
    mask = np.ones((4, 4, 4), bool)
    with pytest.raises(InputError, match="one shape"):
        score(mask[:3], mask, mask, (1, 1, 1))
    with pytest.raises(InputError, match="spacing"):
        score(mask, mask, mask, (1, 0, 1))
    with pytest.raises(InputError, match="empty"):
        score(mask, mask, ~mask, (1, 1, 1))


def test_labels_and_masks_score_alike():
    """uint8 with any value that is not 0 is a mask; inputs stay as they are."""
    rng = np.random.default_rng(3)
    masks = [random_blobs(rng, (12, 13, 14), 0.8) for _ in range(3)]
    labels = [mask.astype(np.uint8) * 2 for mask in masks]
    before = [label.copy() for label in labels]
    assert score(*masks, (1, 1, 1)) == score(*labels, (1, 1, 1))
    assert all(np.array_equal(a, b) for a, b in zip(before, labels, strict=True))


def read_nrrd(path):
    """(z, y, x) bool of a gzipped NRRD of int32."""
    header, data = path.read_bytes().split(b"\n\n", 1)
    fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line)
    assert (fields["type"], fields["encoding"], fields["endian"]) == ("int32", "gzip", "little")
    shape = [int(n) for n in fields["sizes"].split()][::-1]
    return np.frombuffer(gzip.decompress(data), "<i4").reshape(shape) != 0


@pytest.mark.skipif(not NATIVE.is_dir(), reason=f"no real data in {NATIVE}")
def test_golden_value_of_a_native_case():
    """Numbers of the challenge's own script for case 000, its implant shifted by (2, 1, 0) voxels."""
    reference = read_nrrd(NATIVE / "implant" / "000.nrrd")
    defective = read_nrrd(NATIVE / "defective_skull" / "000.nrrd")
    prediction = np.zeros_like(reference)
    prediction[2:, 1:] = reference[:-2, :-1]
    scores = score(prediction, reference, defective, (0.633, 0.451, 0.451))
    found = (scores.dsc, scores.bdsc_10mm, scores.bdsc_10vox, scores.hd95_mm)
    assert found == pytest.approx((0.828514, 0.825690, 0.810505, 1.343933), abs=6e-7)
