"""`calvaria reconstruct` writes an implant at the defect, in the geometry of the file, or nothing."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.ndimage import binary_dilation, label
from scipy.spatial import cKDTree

from calvaria import cli
from calvaria.errors import InputError
from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.reconstruction.reconstruct import Options, read_bone, reconstruct
from calvaria.sources import Scan
from calvaria.sources.volumes import read_volume
from calvaria.storage.store import read_json
from tests.unit.builders import write_nifti, write_series
from tests.unit.heads import moved, stored, turn
from tests.unit.models import (
    FILES,
    intact,
    operated,
    options_for,
    remaining,
)

CHECKS = {"watertight", "pieces", "thickness", "overlap", "gap", "insertion", "closes"}


def crooked() -> Scan:
    """Return the operated head rotated, shifted, with permuted axes and thick slices."""
    scan = operated(2.0)
    thick = Scan(scan.labels[:, :, ::2], scan.affine @ np.diag([1.0, 1, 2, 1]))
    return stored(moved(thick, turn(8, -5, 10), (30, -20, 100)), (1, 2, 0), (0,))


@dataclass(frozen=True)
class Made:
    scan: Scan  # 1 remaining bone, 2 the true implant
    folder: Path
    about: dict[str, Any]

    @property
    def mask(self) -> np.ndarray:
        return read_volume(self.folder / "implant.nii.gz").values

    def world(self, index: np.ndarray) -> np.ndarray:
        """Return the (n, 3) RAS+ millimetres of (n, 3) voxel indices."""
        return index @ self.scan.affine[:3, :3].T + self.scan.affine[:3, 3]

    def voxels(self, points: np.ndarray) -> np.ndarray:
        """Return the (n, 3) nearest voxels of (n, 3) RAS+ millimetres."""
        inverse = np.linalg.inv(self.scan.affine)
        return np.round(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)

    @property
    def voxel_ml(self) -> float:
        return abs(float(np.linalg.det(self.scan.affine))) / 1000


@pytest.fixture(scope="module", params=["coarse", "prior"])
def made(request, models, tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp(request.param)
    scan = crooked()
    path = write_nifti(folder / "skull.nii.gz", remaining(scan).labels, scan.affine)
    about = reconstruct(path, models[request.param], options_for(folder))
    assert sorted(path.name for path in folder.iterdir()) == sorted(["skull.nii.gz", *FILES])
    return Made(scan, folder, about)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_the_mask_is_the_missing_bone_on_the_file_s_own_grid(made):
    found = read_volume(made.folder / "implant.nii.gz")
    assert found.values.dtype == np.uint8
    assert found.values.shape == made.scan.labels.shape
    assert np.allclose(found.affine, made.scan.affine, rtol=0, atol=1e-4)
    assert set(np.unique(found.values)) == {0, 1}
    assert not (found.values > 0)[made.scan.labels == BONE].any()
    assert label(found.values)[1] == 1, "one piece by faces"
    assert dice(found.values > 0, made.scan.labels == IMPLANT) > 0.75


def test_the_mesh_is_closed_and_lies_in_the_patient_s_millimetres(made):
    mesh = trimesh.load(made.folder / "implant.stl")
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.body_count == 1
    inside = made.mask > 0
    assert np.abs(mesh.center_mass - made.world(np.argwhere(inside)).mean(axis=0)).max() < 1.0
    assert 0.6 < mesh.volume / 1000 / (np.count_nonzero(inside) * made.voxel_ml) < 1.0  # reduced by the gap
    # Every vertex lies in the mask or next to it, none in bone.
    near = binary_dilation(inside, np.ones((3, 3, 3)))
    corners = tuple(made.voxels(mesh.vertices).T)
    assert near[corners].all()
    assert np.mean(made.scan.labels[corners] == BONE) < 0.02


def test_every_check_is_written_with_what_was_found(made):
    """The file has the returned results, in JSON that every parser accepts."""
    about = json.loads((made.folder / "checks.json").read_text(), parse_constant=pytest.fail)
    assert about == made.about
    assert about["checks"].keys() == CHECKS
    for one in about["checks"].values():
        assert one.keys() == {"passed", "found", "wanted"}
    assert about["passed"] is True is all(one["passed"] for one in about["checks"].values())
    assert about["input"]["file"] == "skull.nii.gz"
    assert about["input"]["shape"] == list(made.scan.labels.shape)
    assert about["warnings"] == []
    assert about["gap_mm"] == 0.5
    assert about["implant_ml"] == pytest.approx(np.count_nonzero(made.mask) * made.voxel_ml, abs=1e-3)
    mesh = trimesh.load(made.folder / "implant.stl")
    assert about["mesh_ml"] == pytest.approx(mesh.volume / 1000, abs=2e-3)
    assert about["hole_cm2"] == pytest.approx(19, abs=2)  # disc cut by a ball of 2.5 cm radius
    towards = made.world(np.argwhere(made.scan.labels == BONE)).mean(axis=0) - mesh.center_mass
    direction = np.array(about["insertion_direction_ras"])
    assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-3)
    assert direction @ towards / np.linalg.norm(towards) > np.cos(np.deg2rad(45))  # into the head


def test_a_labelled_case_gives_what_its_mask_gives_and_the_bytes_repeat(models, coarse_head, tmp_path):
    """Voxels labelled as implant are not bone; a mask may have any single value."""
    scan = operated(3.0)
    bone = remaining(scan).labels
    (tmp_path / "case").mkdir()
    case = write_nifti(tmp_path / "case" / "skull.nii.gz", scan.labels, scan.affine)
    wide = write_nifti(tmp_path / "wide.nii", bone * np.float32(255), scan.affine)
    for path in (case, wide, coarse_head):
        assert np.array_equal(read_bone(path, 300.0).labels, bone)
    places = [tmp_path / name for name in ("of mask", "of case")]
    for path, place in zip((coarse_head, case), places, strict=True):
        place.mkdir()
        reconstruct(path, models["coarse"], options_for(place))
    for name in FILES[:2]:  # the third describes the input
        assert (places[0] / name).read_bytes() == (places[1] / name).read_bytes()


@pytest.mark.parametrize(("axes", "flips"), [((0, 1, 2), (0, 1)), ((2, 0, 1), (2,)), ((1, 0, 2), ())])
def test_the_file_s_storage_order_changes_nothing(models, tmp_path, axes, flips):
    """Implants are equal in every voxel, and meshes are at the same position; the head is oblique."""
    scan = moved(remaining(operated(3.0)), turn(8, -5, 10), (30.1, -20.7, 100.3))
    first, other = tmp_path / "first", tmp_path / "other"
    for place, file in ((first, scan), (other, stored(scan, axes, flips))):
        place.mkdir()
        path = write_nifti(place / "skull.nii", file.labels, file.affine)
        reconstruct(path, models["prior"], options_for(place))
    mask, again = (read_volume(place / "implant.nii.gz") for place in (first, other))
    expected = stored(Scan(mask.values, mask.affine), axes, flips)
    assert mask.values.any()
    assert np.array_equal(again.values, expected.labels)
    assert np.allclose(again.affine, expected.affine, rtol=0, atol=1e-4)
    mesh, same = (trimesh.load(place / "implant.stl") for place in (first, other))
    assert np.allclose(same.vertices, mesh.vertices, rtol=0, atol=1e-3)
    about, stated = (read_json(place / "checks.json") for place in (first, other))
    assert {**about, "input": None} == {**stated, "input": None}


def test_a_wider_gap_is_kept_from_the_bone_of_the_file(models, coarse_head, tmp_path):
    """The gap is measured from the mask, not by the check; smoothing rounds off isolated corner voxels."""
    scan = remaining(operated(3.0))
    reconstruct(coarse_head, models["coarse"], options_for(tmp_path, gap_mm=4.0))
    bone = np.argwhere(scan.labels) * 3.0 + scan.affine[:3, 3]
    nearest = cKDTree(bone).query(trimesh.load(tmp_path / "implant.stl").vertices)[0].min()
    assert 3.25 < nearest < 5.5


def test_a_folder_of_slices_gives_the_same_implant(models, tmp_path):
    """For a CT in Hounsfield units as DICOM, the mask is on the grid of the slices."""
    scan = operated(3.0)
    values = np.where(scan.labels == BONE, 1000, -1000).astype(np.int16)
    write_series(tmp_path / "series", np.flip(values, (0, 1)), step=(0, 0, 3), spacing=(3.0, 3.0))
    about = reconstruct(tmp_path / "series", models["coarse"], options_for(tmp_path))
    assert about["input"]["file"] == "series"
    found = read_volume(tmp_path / "implant.nii.gz")
    assert np.allclose(found.affine, np.diag([-3.0, -3, 3, 1]), atol=1e-3)
    truth = np.flip(scan.labels == IMPLANT, (0, 1))
    assert dice(found.values > 0, truth) > 0.8
    mesh = trimesh.load(tmp_path / "implant.stl")
    assert np.abs(mesh.center_mass - np.argwhere(truth).mean(axis=0) * [-3, -3, 3]).max() < 2


def test_bone_of_a_ct_is_what_the_threshold_says(tmp_path):
    labels = operated(3.0).labels
    values = np.where(labels == BONE, 1000, -1000).astype(np.int16)
    path = write_nifti(tmp_path / "ct.nii", values, operated(3.0).affine)
    assert np.array_equal(read_bone(path, 300.0).labels, labels == BONE)
    with pytest.raises(InputError, match=r"ct\.nii: its greatest value is 1000 HU.*threshold_hu \(1200\)"):
        read_bone(path, 1200.0)


@pytest.mark.parametrize(
    ("bone", "implant", "line"),
    [
        (1, 0, "mask, .* labels 0 to 1$"),
        (255, 0, "mask, .* labels 0 to 1$"),
        (0.99999, 0, "mask, .* labels 0 to 1$"),  # converted to floats
        (1, 2, "label volume, .* labels 0 to 2$"),
        (1.00002, 2.00004, "label volume, .* labels 0 to 2$"),  # scaled by a header's slope
    ],
)
def test_masks_and_labels_are_summarised_as_what_they_mean(tmp_path, bone, implant, line):
    labels = operated(3.0).labels
    values = np.choose(labels, [0, bone, implant]).astype(np.float32)
    scan = read_bone(write_nifti(tmp_path / "a.nii", values, operated(3.0).affine), 300.0)
    assert np.array_equal(scan.labels, labels == BONE)
    assert scan.summary is not None
    assert re.match(line, scan.summary.lines()[0])


def test_the_series_is_chosen(tmp_path, monkeypatch):
    """It is chosen by name, also in a folder with a single series."""
    labels = operated(3.0).labels
    values = np.where(labels == BONE, 1000, -1000).astype(np.int16)
    settings = {"step": (0, 0, 3), "spacing": (3.0, 3.0)}
    write_series(tmp_path / "a" / "1", values, **settings, SeriesNumber="1")
    write_series(tmp_path / "a" / "2", -values, **settings, SeriesNumber="2", series="7.7")
    monkeypatch.chdir(tmp_path / "a")
    for path in (Path(), tmp_path / "a"):
        assert np.array_equal(read_bone(path, 300.0, "1").labels, labels == BONE)
    with pytest.raises(InputError, match="has no series 'x'"):
        read_bone(Path(), 300.0, "x")


def test_a_second_hole_that_stays_open_fails_a_check(models, tmp_path):
    """The model fills one hole; remaining holes are measured in the vault, not taken from the model."""
    scan = operated(3.0)
    mirrored = np.argwhere(scan.labels > 0)
    points = mirrored @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    top = points[np.argmax(points @ np.array([-0.9, -0.3, 1.0]))]
    labels = (scan.labels == BONE).astype(np.uint8)
    labels[tuple(mirrored[np.linalg.norm(points - top, axis=1) < 15].T)] = 0
    path = write_nifti(tmp_path / "two.nii.gz", labels, scan.affine)
    about = reconstruct(path, models["coarse"], Options(tmp_path / "implant.nii", None, None))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["implant.nii", "two.nii.gz"]
    assert about["checks"]["closes"]["passed"] is False
    assert about["checks"]["closes"]["found"] > 3
    assert about["passed"] is False


# The command


@pytest.fixture
def call(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """A function that runs the command and returns exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["calvaria", "reconstruct", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


def test_the_command_writes_a_ply_and_prints_what_it_found(models, coarse_head, tmp_path, call):
    out, ply, checks = (tmp_path / name for name in ("i.nii", "i.ply", "i.json"))
    settings = ("--gap-mm", "1.5", "--thickness-mm", "2.5")
    files = ("--model", models["prior"], "--out", out, "--stl", ply, "--json", checks)
    code, printed, said = call(coarse_head, *files, *settings)
    assert (code, len(said.splitlines())) == (0, 2)
    about = json.loads(printed)
    assert about == read_json(checks)
    assert about["gap_mm"] == 1.5
    assert "2.5 mm" in about["checks"]["thickness"]["wanted"]
    assert ply.read_bytes().startswith(b"ply")
    mesh = trimesh.load(ply)
    assert mesh.is_watertight
    found = read_volume(out)
    middle = np.argwhere(found.values) @ found.affine[:3, :3].T + found.affine[:3, 3]
    assert np.abs(mesh.center_mass - middle.mean(axis=0)).max() < 1


def test_an_implant_that_fails_a_check_is_written_and_says_so(models, coarse_head, tmp_path, call):
    out, checks = tmp_path / "i.nii.gz", tmp_path / "i.json"
    files = ("--model", models["coarse"], "--out", out, "--json", checks)
    code, printed, said = call(coarse_head, *files, "--thickness-mm", "30")
    assert code == 4
    assert "warning" not in said
    about = json.loads(printed)
    assert about["passed"] is False
    assert [name for name, one in about["checks"].items() if not one["passed"]] == ["thickness"]
    assert about == read_json(checks)
    assert read_volume(out).values.any()


def test_what_is_unusual_is_a_warning_and_the_work_goes_on(models, tmp_path, call):
    """Warnings are on standard error after the description of the input, in the JSON and in the picture."""
    scan = remaining(operated(3.0))
    path = write_nifti(tmp_path / "cut.nii.gz", scan.labels[:, :, :-5], scan.affine)
    out, checks, picture = (tmp_path / name for name in ("i.nii.gz", "i.json", "i.png"))
    files = ("--model", models["coarse"], "--out", out, "--json", checks, "--picture", picture)
    code, _, said = call(path, *files)
    assert code in (0, 4)
    read, _, warning = said.splitlines()
    assert "mask, 51 x 76 x 52 voxels of 3 x 3 x 3 mm" in read
    assert "cut.nii.gz: warning: vault cut off: " in warning
    about = read_json(checks)
    assert about["warnings"] == [warning.partition("warning: ")[2]]
    assert (about["input"]["kind"], about["input"]["file"]) == ("mask", "cut.nii.gz")
    assert read_volume(out).values.any()
    with Image.open(picture) as image:
        width, height = image.size
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert height > width / 4, "words below four squares"
    assert pixels[: width // 4].std() > 10
    assert pixels[width // 4 :].std() > 5


def test_exit_codes_tell_no_defect_from_an_error(models, tmp_path, call):
    path = intact(tmp_path)
    files = ("--model", models["coarse"], "--out", tmp_path / "i.nii.gz", "--stl", tmp_path / "i.stl")
    code, printed, said = call(path, *files)
    assert (code, printed) == (3, "")
    assert said.splitlines()[-1].startswith(f"calvaria: {path}: no defect found")
    code, printed, said = call(tmp_path / "none.nii", *files)
    assert (code, printed) == (1, "")
    assert said.startswith(f"calvaria: {tmp_path / 'none.nii'}: no such file")
    assert "Traceback" not in said
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
