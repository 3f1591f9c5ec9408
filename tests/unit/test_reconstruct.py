"""`calvaria reconstruct` puts an implant where the skull is open, in the file's own place; or nothing."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from scipy.ndimage import binary_dilation
from scipy.spatial import cKDTree

from calvaria import cli
from calvaria.commands import reconstruct as module
from calvaria.commands.nifti_file import write_nifti as write_labels
from calvaria.commands.reconstruct import NoDefectError, Wanted, read_bone, reconstruct
from calvaria.config import dump
from calvaria.errors import InputError, StoreError
from calvaria.grid import BONE, IMPLANT
from calvaria.learning.weights import weights
from calvaria.reconstruction.model import export
from calvaria.reconstruction.training import new_network
from calvaria.sources import Scan
from calvaria.sources.volumes import read_volume
from calvaria.store import read_json
from tests.unit.builders import write_nifti, write_series
from tests.unit.heads import head, moved, stored, turn, with_hole
from tests.unit.models import ARM, contents, learned, operated, remaining, small_config, write_run

CHECKS = {"watertight", "pieces", "thickness", "overlap", "gap", "insertion", "closes"}
FILES = ("implant.nii.gz", "implant.stl", "checks.json")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """Exported models: with a fine network and without; and one that was never trained."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("coarse", "fine", "untrained"):
        config = small_config(refine=name == "fine")
        first, second = learned()
        if name == "untrained":
            first = weights(new_network(config, 0), "network")
        export(write_run(folder / f"run-{name}", config, first, second), config, ARM, folder / name)
    return {name: folder / name for name in ("coarse", "fine", "untrained")}


def wanted(folder: Path, mesh: str = "implant.stl", **settings: float) -> Wanted:
    return Wanted(folder / "implant.nii.gz", folder / mesh, folder / "checks.json", **settings)


def crooked() -> Scan:
    """The operated head as a scanner may have it: turned, moved, axes exchanged, thick slices."""
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
        """(n, 3) RAS+ millimetres of (n, 3) voxel indices."""
        return index @ self.scan.affine[:3, :3].T + self.scan.affine[:3, 3]

    def voxels(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) nearest voxels of (n, 3) RAS+ millimetres."""
        inverse = np.linalg.inv(self.scan.affine)
        return np.round(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)

    @property
    def voxel_ml(self) -> float:
        return abs(float(np.linalg.det(self.scan.affine))) / 1000


@pytest.fixture(scope="module", params=["coarse", "fine"])
def made(request, models, tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp(request.param)
    scan = crooked()
    path = write_nifti(folder / "skull.nii.gz", remaining(scan).labels, scan.affine)
    about = reconstruct(path, models[request.param], wanted(folder))
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
    assert dice(found.values > 0, made.scan.labels == IMPLANT) > 0.75


def test_the_mesh_is_closed_and_lies_in_the_patient_s_millimetres(made):
    mesh = trimesh.load(made.folder / "implant.stl")
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.body_count == 1
    inside = made.mask > 0
    assert np.abs(mesh.center_mass - made.world(np.argwhere(inside)).mean(axis=0)).max() < 1.0
    assert 0.6 < mesh.volume / 1000 / (np.count_nonzero(inside) * made.voxel_ml) < 1.0  # the gap takes some
    # Every corner lies in the mask or beside it, none in bone.
    near = binary_dilation(inside, np.ones((3, 3, 3)))
    corners = tuple(made.voxels(mesh.vertices).T)
    assert near[corners].all()
    assert np.mean(made.scan.labels[corners] == BONE) < 0.02


def test_every_check_is_written_with_what_was_found(made):
    """The file is what is returned, in JSON that every parser takes."""
    about = json.loads((made.folder / "checks.json").read_text(), parse_constant=pytest.fail)
    assert about == made.about
    assert about["checks"].keys() == CHECKS
    for one in about["checks"].values():
        assert one.keys() == {"passed", "found", "wanted"}
    assert about["passed"] is True is all(one["passed"] for one in about["checks"].values())
    assert about["input"] == "skull.nii.gz"
    assert about["gap_mm"] == 0.5
    assert about["implant_ml"] == pytest.approx(np.count_nonzero(made.mask) * made.voxel_ml, abs=1e-3)
    mesh = trimesh.load(made.folder / "implant.stl")
    assert about["mesh_ml"] == pytest.approx(mesh.volume / 1000, abs=2e-3)
    assert about["hole_cm2"] == pytest.approx(19, abs=2)  # a ball of 2.5 cm took a disc of that area
    towards = made.world(np.argwhere(made.scan.labels == BONE)).mean(axis=0) - mesh.center_mass
    direction = np.array(about["insertion_direction_ras"])
    assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-3)
    assert direction @ towards / np.linalg.norm(towards) > np.cos(np.deg2rad(45))  # into the head


@pytest.fixture(scope="module")
def coarse_head(tmp_path_factory) -> Path:
    """A mask of the operated head with larger voxels, for tests that look at something else."""
    scan = remaining(operated(3.0))
    return write_nifti(tmp_path_factory.mktemp("head") / "skull.nii.gz", scan.labels, scan.affine)


def test_a_labelled_case_gives_what_its_mask_gives_and_the_bytes_repeat(models, coarse_head, tmp_path):
    """What is labelled as implant is no bone; a mask may have any one value."""
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
        reconstruct(path, models["coarse"], wanted(place))
    for name in FILES:
        assert (places[0] / name).read_bytes() == (places[1] / name).read_bytes()


def test_a_wider_gap_is_kept_from_the_bone_of_the_file(models, coarse_head, tmp_path):
    """Measured here from the mask, not by the check itself; smoothing rounds a lone corner voxel off."""
    scan = remaining(operated(3.0))
    reconstruct(coarse_head, models["coarse"], wanted(tmp_path, gap_mm=4.0))
    bone = np.argwhere(scan.labels) * 3.0 + scan.affine[:3, 3]
    nearest = cKDTree(bone).query(trimesh.load(tmp_path / "implant.stl").vertices)[0].min()
    assert 3.25 < nearest < 5.5


def test_a_folder_of_slices_gives_the_same_implant(models, tmp_path):
    """A CT in Hounsfield units as DICOM: its mask lies on the grid that the slices span."""
    scan = operated(3.0)
    values = np.where(scan.labels == BONE, 1000, -1000).astype(np.int16)
    write_series(tmp_path / "series", np.flip(values, (0, 1)), step=(0, 0, 3), spacing=(3.0, 3.0))
    about = reconstruct(tmp_path / "series", models["coarse"], wanted(tmp_path))
    assert about["input"] == "series"
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


def test_a_second_hole_that_stays_open_fails_a_check(models, tmp_path):
    """The model knows one hole; what is left open is measured in the vault, not taken from the model."""
    scan = operated(3.0)
    mirrored = np.argwhere(scan.labels > 0)
    points = mirrored @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    top = points[np.argmax(points @ np.array([-0.9, -0.3, 1.0]))]
    labels = (scan.labels == BONE).astype(np.uint8)
    labels[tuple(mirrored[np.linalg.norm(points - top, axis=1) < 15].T)] = 0
    path = write_nifti(tmp_path / "two.nii.gz", labels, scan.affine)
    about = reconstruct(path, models["coarse"], Wanted(tmp_path / "implant.nii", None, None))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["implant.nii", "two.nii.gz"]
    assert about["checks"]["closes"]["passed"] is False
    assert about["checks"]["closes"]["found"] > 3
    assert about["passed"] is False


# What is refused


def intact(folder: Path) -> Path:
    return write_nifti(folder / "bad.nii.gz", head(1, 3.0).labels, head(1, 3.0).affine)


def test_a_closed_skull_has_no_defect_and_nothing_is_written(models, tmp_path):
    """Neither has one with a burr hole, which is seen and too small."""
    drilled = with_hole(head(1, 2.0), 8.5)
    burr = write_nifti(tmp_path / "bad.nii", drilled.labels, drilled.affine)
    for path, area in ((intact(tmp_path), r"0\.0"), (burr, r"0\.[4-9]")):
        before = contents(tmp_path)
        words = rf"{path.name}: no defect found: .* above {area} cm2, less than 1 cm2; nothing was written"
        with pytest.raises(NoDefectError, match=words):
            reconstruct(path, models["coarse"], wanted(tmp_path))
        assert contents(tmp_path) == before


def cube(hounsfield: bool) -> np.ndarray:
    values = np.zeros((70, 70, 70), np.int16)
    values[10:60, 10:60, 10:60] = 1
    return values * 2000 - 1000 if hounsfield else values


def volume(values: np.ndarray, spacing_mm: float = 3.0) -> Callable[[Path], Path]:
    return lambda folder: write_nifti(
        folder / "bad.nii.gz", values, np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    )


def text(name: str) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / name).write_text("from the scanner " * 50)
        return folder / name

    return build


def a_folder(folder: Path) -> Path:
    (folder / "bad").mkdir()
    (folder / "bad" / "README").write_text("no slices")
    return folder / "bad"


def wrong_spacing(folder: Path) -> Path:
    scan = remaining(operated(3.0))
    return write_nifti(folder / "bad.nii.gz", scan.labels, scan.affine @ np.diag([0.5, 0.5, 0.5, 1]))


def cut_off(folder: Path) -> Path:
    scan = remaining(operated(3.0))
    return write_nifti(folder / "bad.nii.gz", scan.labels[:, :, :-9], scan.affine)


NOISE = np.random.default_rng(0)
GARBAGE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "noise": (volume(NOISE.integers(0, 3000, (40, 40, 40)).astype(np.int16)), "wanted air of about -1000"),
    "noise in Hounsfield units": (
        volume(NOISE.integers(-1000, 2000, (60, 60, 60)).astype(np.int16)),
        "not a skull: .* wanted at most",
    ),
    "nothing": (volume(np.zeros((40, 40, 40), np.uint8)), "empty: there is no bone in it; segment"),
    "air": (volume(np.full((40, 40, 40), -1000, np.int16)), "-1000 HU, wanted bone"),
    "one value": (volume(np.full((40, 40, 40), 7, np.uint8)), "wanted 0 and one positive value"),
    "CT of a cube": (volume(cube(hounsfield=True)), "(not a skull|size): .* wanted "),
    "mask of a cube": (volume(cube(hounsfield=False)), "(not a skull|size): .* wanted "),
    "text": (text("bad.txt"), "unknown kind of file, wanted .nii"),
    "text called a volume": (text("bad.nii"), "not a NIfTI file"),
    "too long a name": (lambda folder: folder / ("bad" * 100 + ".nii"), "its name is too long"),
    "missing": (lambda folder: folder / "bad.nii.gz", "no such file; check the path"),
    "folder without slices": (a_folder, "holds no DICOM slices, wanted those of one CT series"),
    "wrong spacing": (wrong_spacing, "size: .* wanted .*; check the header's spacing"),
    "no top": (cut_off, "vault cut off: .* of the vault lie outside"),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_what_is_no_operated_head_is_named_and_nothing_is_written(models, tmp_path, what):
    build, words = GARBAGE[what]
    path = build(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=words) as caught:
        reconstruct(path, models["coarse"], wanted(tmp_path))
    assert str(path) in str(caught.value)
    assert "; " in str(caught.value)  # and what to do
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"out": "a.nrrd"}, r"--out .*a\.nrrd: wanted a name that ends in \.nii\.gz or \.nii"),
        ({"out": "a.gz"}, r"--out .*a\.gz: wanted a name that ends in"),
        ({"mesh": "a.obj"}, r"--stl .*a\.obj: wanted a name that ends in \.stl or \.ply"),
        ({"checks": "a.txt"}, r"--json .*a\.txt: wanted a name that ends in \.json"),
        ({"out": "none/a.nii"}, "--out .*: there is no folder .*none; make it"),
        ({"mesh": "none/a.stl"}, "--stl .*: there is no folder .*none; make it"),
        ({"checks": "none/a.json"}, "--json .*: there is no folder .*none; make it"),
        ({"checks": "text.nii/a.json"}, "--json .*: there is no folder .*text.nii; make it"),
        ({"out": "folder.nii"}, r"--out .*folder\.nii: is a folder; .*another name"),
        ({"mesh": "folder.ply"}, r"--stl .*folder\.ply: is a folder; .*another name"),
        ({"checks": "folder.json"}, r"--json .*folder\.json: is a folder; .*another name"),
        ({"out": "a" * 252 + ".nii"}, r"--out .*: cannot be written: File name too long"),
        ({"out": "skull.nii.gz"}, r"--out .*skull\.nii\.gz: is the scan itself; choose another name"),
    ],
)
def test_names_are_checked_before_anything_is_done(tmp_path, monkeypatch, changed, words):
    """Before the model is looked for and the scan is read, so no hour is lost; links are followed."""
    monkeypatch.setattr(module, "read_bone", lambda *_: pytest.fail("the scan was read"))
    scan = write_nifti(tmp_path / "skull.nii.gz", remaining(operated(3.0)).labels)
    (tmp_path / "text.nii").write_text("x")
    for ending in ("nii", "ply", "json"):
        (tmp_path / f"folder.{ending}").mkdir()
    (tmp_path / "link.nii.gz").symlink_to(scan)
    names = {"out": "a.nii.gz", "mesh": "a.stl", "checks": "a.json", **changed}
    before = contents(tmp_path)
    with pytest.raises(InputError, match=words):
        reconstruct(
            tmp_path / "link.nii.gz",
            tmp_path / "no model",
            Wanted(**{key: tmp_path / name for key, name in names.items()}),
        )
    assert contents(tmp_path) == before


def test_what_is_no_model_is_named(models, coarse_head, tmp_path):
    """A folder without one, a run that was not exported, a file, and nothing at all."""
    (tmp_path / "bare").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(dump(small_config(refine=False)))
    (tmp_path / "file").write_text("x")
    for name, lacks in (("bare", "config.yaml"), ("run", "model.json"), ("file", "config"), ("no", "config")):
        before = contents(tmp_path)
        with pytest.raises(InputError, match=rf"--model .*{name}: has no {lacks}.*; wanted a folder that"):
            reconstruct(coarse_head, tmp_path / name, wanted(tmp_path))
        assert contents(tmp_path) == before


def test_a_damaged_weight_file_is_named_and_nothing_is_written(models, coarse_head, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for path in models["fine"].iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    content = bytearray((model / "fine.safetensors").read_bytes())
    content[len(content) // 2] ^= 4
    (model / "fine.safetensors").write_bytes(content)
    before = contents(tmp_path)
    with pytest.raises(StoreError, match=r"fine\.safetensors: damaged or changed"):
        reconstruct(coarse_head, model, wanted(tmp_path))
    assert contents(tmp_path) == before


def test_a_model_that_finds_nothing_and_a_gap_that_leaves_nothing(models, coarse_head, tmp_path):
    with pytest.raises(
        InputError, match=r"skull.nii.gz: .*hole of 1\d\.\d cm2, the model proposes no implant"
    ):
        reconstruct(coarse_head, models["untrained"], wanted(tmp_path))
    with pytest.raises(InputError, match=r"skull.nii.gz: nothing of the implant is left with a gap of 40 mm"):
        reconstruct(coarse_head, models["coarse"], wanted(tmp_path, gap_mm=40.0))
    assert list(tmp_path.iterdir()) == []


def test_a_model_from_a_gpu_works_without_one(coarse_head, tmp_path, monkeypatch):
    """Its config says where it was trained; changing that would change its digest."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = small_config(refine=False, device="cuda")
    new = weights(new_network(config, 0), "network")
    export(write_run(tmp_path / "run", config, new, {}), config, ARM, tmp_path / "model")
    with pytest.raises(InputError, match="the model proposes no implant"):
        reconstruct(coarse_head, tmp_path / "model", wanted(tmp_path))


@pytest.mark.parametrize("threshold", [-200.0, 5000.0, float("nan")])
def test_a_threshold_that_is_none_is_named(tmp_path, threshold):
    values = np.full((9, 9, 9), -1000, np.int16)
    with pytest.raises(InputError, match=r"--threshold-hu .*should be (greater than -200|less than 1500) HU"):
        read_bone(write_nifti(tmp_path / "ct.nii", values), threshold)


# All files at the end, or none


def full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def half(path: Path, *_: object) -> None:
    """Writes some, then fails, as a full disk does."""
    path.write_bytes(b"half")
    full()


def buggy(*_: object) -> None:
    raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("place", "fault", "error", "words"),
    [
        ("calvaria.commands.reconstruct.write_nifti", half, InputError, r"--out .*implant\.nii\.gz: cannot"),
        ("calvaria.implant.mesh.write_mesh", half, InputError, r"--stl .*implant\.stl: cannot be written"),
        ("calvaria.implant.mesh.write_mesh", buggy, RuntimeError, "a bug"),
        ("pathlib.Path.write_text", full, InputError, r"--json .*checks\.json: cannot be written: No space"),
        ("pathlib.Path.replace", full, InputError, "cannot be written: No space"),
    ],
    ids=["mask", "mesh", "bug", "json", "renaming"],
)
def test_a_late_fault_leaves_no_half_result(
    models, coarse_head, tmp_path, monkeypatch, place, fault, error, words
):
    """What was there before is still there, and no partial file beside it."""
    for name in FILES:
        (tmp_path / name).write_text("of an earlier day")
    with monkeypatch.context() as patch:
        patch.setattr(place, fault)
        with pytest.raises(error, match=words):
            reconstruct(coarse_head, models["coarse"], wanted(tmp_path))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        FILES, "of an earlier day"
    )


def test_endings_in_capitals_are_the_same(tmp_path):
    values = np.ones((3, 4, 5), np.uint8)
    write_labels(tmp_path / "A.NII.GZ", values, np.eye(4))
    assert np.array_equal(read_volume(tmp_path / "A.NII.GZ").values, values)


# The command


@pytest.fixture
def call(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs the command; its exit code and what it printed."""

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
    files = ("--model", models["fine"], "--out", out, "--stl", ply, "--json", checks)
    code, printed, said = call(coarse_head, *files, *settings)
    assert (code, said) == (0, "")
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
    assert (code, said) == (4, "")
    about = json.loads(printed)
    assert about["passed"] is False
    assert [name for name, one in about["checks"].items() if not one["passed"]] == ["thickness"]
    assert about == read_json(checks)
    assert read_volume(out).values.any()


def test_exit_codes_tell_no_defect_from_an_error(models, tmp_path, call):
    path = intact(tmp_path)
    files = ("--model", models["coarse"], "--out", tmp_path / "i.nii.gz", "--stl", tmp_path / "i.stl")
    code, printed, said = call(path, *files)
    assert (code, printed) == (3, "")
    assert said.startswith(f"calvaria: {path}: no defect found")
    code, printed, said = call(tmp_path / "none.nii", *files)
    assert (code, printed) == (1, "")
    assert said.startswith(f"calvaria: {tmp_path / 'none.nii'}: no such file")
    assert "Traceback" not in said
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
