"""`calvaria score` scores files on one grid, and never resamples."""

import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from calvaria.errors import InputError
from calvaria.metrics.score_files import score_files
from calvaria.metrics.scores import score
from tests.unit.builders import write_nifti, write_nrrd

SPACING = (0.45, 0.8, 1.5)
NAMES = ["dsc", "bdsc_10mm", "bdsc_10vox", "hd95_mm", "surface_dice_1mm", "assd_mm", "rim_gap_mm"]


def oblique() -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [20, -10, 35], degrees=True).as_matrix() * SPACING
    affine[:3, 3] = (-80, 12, 30)
    return affine


def volumes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a plate with a hole, the removed part, and the same part shifted."""
    skull = np.zeros((30, 28, 26), np.uint8)
    skull[4:26, 4:24, 10:14] = 1
    reference = np.zeros_like(skull)
    reference[10:20, 9:18, 10:14] = 1
    return np.roll(reference, (1, 2), (0, 1)), reference, skull - reference


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_files_score_as_their_arrays_do(tmp_path, suffix):
    """Axes, spacing of an oblique affine, and the order of the arguments survive the files."""
    write = write_nrrd if suffix == ".nrrd" else write_nifti
    files = [
        write(tmp_path / f"{name}{suffix}", values, oblique())
        for name, values in zip("prd", volumes(), strict=True)
    ]
    found = score_files(*files)
    assert list(found) == NAMES
    assert found == pytest.approx(asdict(score(*volumes(), SPACING)), abs=1e-4)


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "calvaria.cli", "score", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_prints_one_json_object_without_infinity(tmp_path):
    """An empty prediction is scored, with null for infinite distances since JSON has no Infinity."""
    prediction, reference, defective = volumes()
    write_nrrd(tmp_path / "p.nrrd", 0 * prediction, oblique())
    write_nifti(tmp_path / "r.nii.gz", reference, oblique())
    write_nifti(tmp_path / "d.nii", defective, oblique())
    done = run(
        *("--prediction", tmp_path / "p.nrrd"),
        *("--reference", tmp_path / "r.nii.gz"),
        *("--defective", tmp_path / "d.nii"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    scores = json.loads(done.stdout, parse_constant=pytest.fail)
    assert scores == dict(zip(NAMES, [0.0, 0.0, 0.0, None, 0.0, None, None], strict=True))
    done = run(
        *("--prediction", tmp_path / "none.nrrd"),
        *("--reference", tmp_path / "r.nii.gz"),
        *("--defective", tmp_path / "d.nii"),
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "none.nrrd" in done.stderr
    assert "Traceback" not in done.stderr


def moved(what: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a prediction's values and affine, and the expected words of its message."""
    prediction, affine = volumes()[0], oblique()
    if what == "cropped":
        return prediction[:, :-1], affine, "30 x 27 x 26 voxels.*30 x 28 x 26"
    if what == "shifted":
        affine[0, 3] += 0.15 * min(SPACING)
        return prediction, affine, "origins differ.*0.0675 mm, expected at most 0.045 mm"
    if what == "stretched":
        affine[:3, 2] *= 1.01
        return prediction, affine, "0.45 x 0.8 x 1.5 and 0.45 x 0.8 x 1.515 mm"
    affine[:3, :3] = Rotation.from_euler("z", 5, degrees=True).as_matrix() @ affine[:3, :3]
    return prediction, affine, "directions of their axes or their origins differ"


@pytest.mark.parametrize("what", ["cropped", "shifted", "stretched", "turned"])
def test_another_grid_is_an_error_that_names_both_files(tmp_path, what):
    """Nothing is resampled silently, since metrics on shifted grids would look like bad predictions."""
    _, reference, defective = volumes()
    values, affine, words = moved(what)
    files = [
        write_nrrd(tmp_path / "prediction.nrrd", values, affine),
        write_nrrd(tmp_path / "reference.nrrd", reference, oblique()),
        write_nrrd(tmp_path / "defective.nrrd", defective, oblique()),
    ]
    with pytest.raises(InputError, match=words) as caught:
        score_files(*files)
    assert "reference.nrrd" in str(caught.value)
    assert "prediction.nrrd" in str(caught.value)


@pytest.mark.parametrize("digits", [3, 4])
def test_rounded_headers_are_one_grid(tmp_path, digits):
    """NIfTI has float32 affines, NRRD text, some programs three digits; the reference's affine is used."""
    prediction, reference, defective = volumes()
    files = [
        write_nrrd(tmp_path / "p.nrrd", prediction, np.round(oblique(), digits)),
        write_nrrd(tmp_path / "r.nrrd", reference, oblique()),
        write_nifti(tmp_path / "d.nii.gz", defective, oblique()),
    ]
    assert score_files(*files)["dsc"] == score(prediction, reference, defective, SPACING).dsc


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flipped", [(), (0, 1), (2,)])
def test_another_order_of_axes_is_the_same_grid(tmp_path, axes, flipped):
    """Programs store axes in different orders; the voxels are at the same positions."""
    prediction, reference, defective = volumes()
    stored, affine = prediction.transpose(axes), oblique()[:, [*axes, 3]]
    for axis in flipped:
        affine[:, 3] += affine[:, axis] * (stored.shape[axis] - 1)
        affine[:, axis] *= -1
    files = [
        write_nrrd(tmp_path / "p.nrrd", np.flip(stored, flipped), affine),
        write_nrrd(tmp_path / "r.nrrd", reference, oblique()),
        write_nrrd(tmp_path / "d.nrrd", defective, oblique()),
    ]
    assert score_files(*files) == pytest.approx(asdict(score(prediction, reference, defective, SPACING)))


def test_an_empty_skull_is_named(tmp_path):
    _, reference, defective = volumes()
    files = [
        write_nifti(tmp_path / f"{name}.nii", values, oblique())
        for name, values in (("p", reference), ("r", reference), ("d", 0 * defective))
    ]
    with pytest.raises(InputError, match=r"d\.nii: the defective skull is empty"):
        score_files(*files)
