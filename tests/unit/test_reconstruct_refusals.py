"""`calvaria reconstruct` rejects unsuitable input with a reason, and leaves no files behind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calvaria.config import dump
from calvaria.errors import InputError, StoreError
from calvaria.reconstruction import reconstruct as module
from calvaria.reconstruction.coarse.network import new_network
from calvaria.reconstruction.export.model import export
from calvaria.reconstruction.reconstruct import NoDefectError, Options, read_bone, reconstruct
from calvaria.sources.volumes import read_volume
from calvaria.storage.nifti_file import write_nifti as write_labels
from calvaria.training.weights import weights
from tests.unit.builders import write_nifti
from tests.unit.heads import head, with_hole
from tests.unit.models import (
    ARM,
    FILES,
    contents,
    intact,
    operated,
    options_for,
    remaining,
    small_config,
    write_run,
)

# Rejected input


def test_a_closed_skull_has_no_defect_and_nothing_is_written(models, tmp_path):
    """A burr hole is detected but too small to be a defect."""
    drilled = with_hole(head(1, 2.0), 8.0)
    burr = write_nifti(tmp_path / "bad.nii", drilled.labels, drilled.affine)
    for path, area in ((intact(tmp_path), r"0\.0"), (burr, r"0\.[4-9]")):
        before = contents(tmp_path)
        words = (
            rf"{path.name}: no defect found: .* has {area} cm2, expected at least 1 cm2; nothing was written"
        )
        with pytest.raises(NoDefectError, match=words):
            reconstruct(path, models["coarse"], options_for(tmp_path))
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


def beyond(folder: Path) -> Path:
    scan = remaining(operated(3.0))
    return write_nifti(folder / "bad.nii.gz", scan.labels, scan.affine @ np.diag([1.2, 1.2, 1.2, 1]))


NOISE = np.random.default_rng(0)
GARBAGE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "noise": (
        volume(NOISE.integers(0, 3000, (40, 40, 40)).astype(np.int16)),
        "rescale intercept was not applied.*expected air of about -1000",
    ),
    "noise in Hounsfield units": (
        volume(NOISE.integers(-1000, 2000, (60, 60, 60)).astype(np.int16)),
        "(not a skull|size|thickness): .*",
    ),
    "nothing": (volume(np.zeros((40, 40, 40), np.uint8)), "empty: there is no bone in it; segment"),
    "air": (volume(np.full((40, 40, 40), -1000, np.int16)), "-1000 HU, expected bone"),
    "one value": (volume(np.full((40, 40, 40), 7, np.uint8)), "expected 0 and one positive value"),
    "CT of a cube": (volume(cube(hounsfield=True)), "(not a skull|size|thickness): .*"),
    "mask of a cube": (volume(cube(hounsfield=False)), "(not a skull|size|thickness): .*"),
    "text": (text("bad.txt"), "unknown kind of file, expected .nii"),
    "text called a volume": (text("bad.nii"), "not a NIfTI file"),
    "too long a name": (lambda folder: folder / ("bad" * 100 + ".nii"), "its name is too long"),
    "missing": (lambda folder: folder / "bad.nii.gz", "no such file; check the path"),
    "folder without slices": (a_folder, "holds no DICOM slices, expected those of one CT series"),
    "wrong spacing": (wrong_spacing, "size: .* expected .*; check the header's spacing"),
    "beyond the grid": (
        beyond,
        "too large: .* check the header's spacing, or use a model with a larger grid",
    ),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_what_is_no_operated_head_is_named_and_nothing_is_written(models, tmp_path, what):
    build, words = GARBAGE[what]
    path = build(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=words) as caught:
        reconstruct(path, models["coarse"], options_for(tmp_path))
    assert str(path) in str(caught.value)
    assert "; " in str(caught.value)  # followed by the remedy
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"out": "a.nrrd"}, r"--out .*a\.nrrd: expected a name that ends in \.nii\.gz or \.nii"),
        ({"out": "a.gz"}, r"--out .*a\.gz: expected a name that ends in"),
        ({"mesh": "a.obj"}, r"--stl .*a\.obj: expected a name that ends in \.stl or \.ply"),
        ({"checks": "a.txt"}, r"--json .*a\.txt: expected a name that ends in \.json"),
        ({"out": "none/a.nii"}, "--out .*: the folder .*none does not exist; make it"),
        ({"mesh": "none/a.stl"}, "--stl .*: the folder .*none does not exist; make it"),
        ({"checks": "none/a.json"}, "--json .*: the folder .*none does not exist; make it"),
        ({"checks": "text.nii/a.json"}, "--json .*: cannot be written: Not a directory"),
        ({"picture": "a.jpg"}, r"--picture .*a\.jpg: expected a name that ends in \.png"),
        ({"out": "folder.nii"}, r"--out .*folder\.nii: is a folder; .*another name"),
        ({"mesh": "folder.ply"}, r"--stl .*folder\.ply: is a folder; .*another name"),
        ({"checks": "folder.json"}, r"--json .*folder\.json: is a folder; .*another name"),
        ({"out": "a" * 252 + ".nii"}, r"--out .*: cannot be written: File name too long; choose a shorter"),
        ({"out": "skull.nii.gz"}, r"--out .*skull\.nii\.gz: is the scan itself; choose another name"),
    ],
)
def test_names_are_checked_before_anything_is_done(tmp_path, monkeypatch, changed, words):
    """This happens before model and scan are read, so no time is lost; links are followed."""
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
            Options(**{key: tmp_path / name for key, name in names.items()}),
        )
    assert contents(tmp_path) == before


def test_what_is_no_model_is_named(models, coarse_head, tmp_path):
    """A folder without a model, a run that was not exported, a file, and a missing path are rejected."""
    (tmp_path / "bare").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(dump(small_config(prior=0)))
    (tmp_path / "file").write_text("x")
    for name, lacks in (("bare", "config.yaml"), ("run", "model.json"), ("file", "config"), ("no", "config")):
        before = contents(tmp_path)
        with pytest.raises(InputError, match=rf"--model .*{name}: has no {lacks}.*; expected a folder that"):
            reconstruct(coarse_head, tmp_path / name, options_for(tmp_path))
        assert contents(tmp_path) == before


def test_a_damaged_weight_file_is_named_and_nothing_is_written(models, coarse_head, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for path in models["prior"].iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    content = bytearray((model / "network-0.safetensors").read_bytes())
    content[len(content) // 2] ^= 4
    (model / "network-0.safetensors").write_bytes(content)
    before = contents(tmp_path)
    with pytest.raises(StoreError, match=r"network-0\.safetensors: damaged or changed"):
        reconstruct(coarse_head, model, options_for(tmp_path))
    assert contents(tmp_path) == before


def test_a_model_that_finds_nothing_and_a_gap_that_leaves_nothing(models, coarse_head, tmp_path):
    with pytest.raises(
        InputError, match=r"skull.nii.gz: .*hole of 1\d\.\d cm2, the model proposes no implant"
    ):
        reconstruct(coarse_head, models["untrained"], options_for(tmp_path))
    with pytest.raises(InputError, match=r"skull.nii.gz: nothing of the implant is left with a gap of 40 mm"):
        reconstruct(coarse_head, models["coarse"], options_for(tmp_path, gap_mm=40.0))
    assert list(tmp_path.iterdir()) == []


def test_a_model_from_a_gpu_works_without_one(coarse_head, tmp_path, monkeypatch):
    """The model's config names the training device, which cannot be changed without changing its digest."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = small_config(prior=0, device="cuda")
    new = weights(new_network(config, 0), "network")
    export(write_run(tmp_path / "run", config, new), config, ARM, tmp_path / "model")
    with pytest.raises(InputError, match="the model proposes no implant"):
        reconstruct(coarse_head, tmp_path / "model", options_for(tmp_path))


@pytest.mark.parametrize("threshold", [-200.0, 5000.0, float("nan")])
def test_a_threshold_that_is_none_is_named(tmp_path, threshold):
    values = np.full((9, 9, 9), -1000, np.int16)
    with pytest.raises(InputError, match=r"--threshold-hu .*should be (greater than -200|less than 1500) HU"):
        read_bone(write_nifti(tmp_path / "ct.nii", values), threshold)


# All files are written at the end, or none


def test_a_late_fault_leaves_no_half_result(models, coarse_head, tmp_path, monkeypatch):
    """After a bug or with a full disk, existing files are unchanged and no others are left."""
    for name in FILES:
        (tmp_path / name).write_text("of an earlier day")

    def bug(*_: object) -> bytes:
        raise RuntimeError("a bug")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    full_disk = r"--out .*implant\.nii\.gz: cannot be written: No space"
    for place, fault, error, words in (
        ("calvaria.reconstruction.implant.mesh.mesh_bytes", bug, RuntimeError, "a bug"),
        ("pathlib.Path.replace", full, InputError, full_disk),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, fault)
            with pytest.raises(error, match=words):
                reconstruct(coarse_head, models["coarse"], options_for(tmp_path))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        FILES, "of an earlier day"
    )


def test_an_output_that_cannot_be_written_is_named_before_the_scan_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "read_bone", lambda *_: pytest.fail("the scan was read"))

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", read_only)
        patch.setattr(Path, "unlink", read_only)
        with pytest.raises(InputError, match=r"--out .*\.nii\.gz: cannot be written: Read-only file system"):
            reconstruct(tmp_path / "skull.nii.gz", tmp_path / "no model", options_for(tmp_path))


def test_endings_in_capitals_are_the_same(tmp_path):
    values = np.ones((3, 4, 5), np.uint8)
    write_labels(tmp_path / "A.NII.GZ", values, np.eye(4))
    assert np.array_equal(read_volume(tmp_path / "A.NII.GZ").values, values)
