"""Scans are found in files and folders, and each has a name of its own."""

import logging
from pathlib import Path

import numpy as np
import pytest

from calvaria.errors import InputError
from calvaria.pipeline.manifest import sha256
from calvaria.reconstruction.many.record import scan_digest
from calvaria.reconstruction.many.scans import find_scans
from tests.unit.builders import mask, nrrd_text, write_nifti, write_series

VALUES = np.zeros((3, 3, 5), np.int16)


def found(*paths: Path, out: Path = Path("no out")) -> dict[str, Path]:
    return {scan.case: scan.path for scan in find_scans(paths, out, "cases.csv")}


def empty(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


# Files and folders


def test_a_folder_has_volumes_and_folders_of_slices_and_names_what_it_leaves_out(tmp_path, caplog):
    names = ("b.nii.gz", "a.nrrd", "c.mhd", "c.raw", "mesh.stl", "notes.txt", ".hidden.nii", "deeper/d.nii")
    for name in names:
        empty(tmp_path / name)
    write_series(tmp_path / "e" / "slices", VALUES)
    out = empty(tmp_path / "out" / "x" / "implant.nii.gz").parents[1]
    write_series(out / "dicom", VALUES)
    with caplog.at_level(logging.WARNING, "calvaria"):
        cases = found(tmp_path, out=out)
    expected = {"a": "a.nrrd", "b": "b.nii.gz", "c": "c.mhd", "e": "e"}
    assert cases == {case: tmp_path / name for case, name in expected.items()}
    assert [record.getMessage().split(": ")[1:3] for record in caplog.records] == [
        ["left out", str(tmp_path / "deeper")],
        ["left out", str(tmp_path / "mesh.stl")],
    ]


def test_one_series_stays_one_scan(tmp_path):
    """This holds for loose slices, also beside a volume or further slices, and for one subfolder."""
    write_series(tmp_path / "loose", VALUES)
    write_nifti(tmp_path / "loose" / "mask.nii.gz", mask())
    write_series(tmp_path / "loose" / "more", VALUES, study="9.9")
    write_series(tmp_path / "within" / "series", VALUES)
    assert found(tmp_path / "loose") == {"loose": tmp_path / "loose"}
    assert found(tmp_path / "within") == {"series": tmp_path / "within" / "series"}


def test_a_study_in_subfolders_is_one_scan_and_several_studies_are_several(tmp_path, caplog):
    """The patient is compared as well, since some anonymisers give all studies one UID."""
    for folder, series in (("1", "1.1"), ("2", "2.2")):
        write_series(tmp_path / "study" / folder, VALUES, series=series, PatientID="p")
        write_series(tmp_path / "visits" / folder, VALUES, study=series, PatientID="p")
        write_series(tmp_path / "people" / folder, VALUES, PatientID=series)
        write_series(tmp_path / "unknown" / folder, VALUES, study=None, PatientID="p")
    with caplog.at_level(logging.INFO, "calvaria"):
        assert found(tmp_path / "study") == {"study": tmp_path / "study"}
    assert "one scan, as all of its DICOM files are of one study" in caplog.text
    for name in ("visits", "people", "unknown"):
        assert found(tmp_path / name) == {"1": tmp_path / name / "1", "2": tmp_path / name / "2"}
    assert list(found(tmp_path)) == ["people", "study", "unknown", "visits"]


def test_a_folder_without_scans_is_an_error_and_a_missing_file_is_a_scan(tmp_path):
    """A missing file is reported in its row, as the others can be done."""
    empty(tmp_path / "folder" / "notes.txt")
    with pytest.raises(InputError, match=r"folder: holds no scans, expected \.nii, .*; check the path"):
        found(tmp_path / "folder")
    assert found(tmp_path / "no.nii") == {"no": tmp_path / "no.nii"}


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("scan/out", "--out-dir .*out: is in the scan .*scan, expected another place; choose one"),
        ("scan", "--out-dir .*scan: holds the scans of .*scan, expected another folder; choose one"),
        ("", "--out-dir .*: holds the scans of .*scan, expected another folder; choose one"),
    ],
)
def test_results_are_not_mixed_with_scans(tmp_path, out, words):
    write_series(tmp_path / "scan", VALUES)
    with pytest.raises(InputError, match=words):
        found(tmp_path / "scan", out=tmp_path / out)


# Names


def test_equal_names_are_told_apart_by_their_folders_then_by_their_endings(tmp_path, monkeypatch):
    names = ("x/skull.nii.gz", "y/skull.nii", "y/skull.nrrd", "y/SKULL.nrrd", "y/other.nii", "cases.csv.nii")
    paths = [empty(tmp_path / name) for name in names]
    assert list(found(*paths)) == [
        "x-skull",
        "y-skull.nii",
        "y-skull.nrrd",
        "y-SKULL.nrrd-2",
        "other",
        "cases.csv.nii",
    ]
    monkeypatch.chdir(tmp_path / "x")
    assert list(found(Path("skull.nii.gz"), tmp_path / "x" / "skull.nii.gz")) == ["skull"]  # the same file
    assert list(found(empty(tmp_path / ".nii.gz"))) == ["scan"]
    assert list(found(empty(tmp_path / "a-b" / "c.nii"), empty(tmp_path / "a" / "b-c.nii"))) == ["c", "b-c"]


def test_a_folder_that_is_given_as_a_dot_has_its_own_name(tmp_path, monkeypatch):
    write_series(tmp_path / "scan" / "sub", VALUES)
    write_series(tmp_path / "scan", VALUES)
    for folder, path in (("scan", "."), ("scan/sub", "..")):
        monkeypatch.chdir(tmp_path / folder)
        assert list(found(Path(path), out=tmp_path / "out")) == ["scan"]


# Digests


def test_the_digest_of_a_scan_covers_all_of_its_files(tmp_path):
    header = nrrd_text(tmp_path / "a.nhdr", b"", data_file="voxels.raw")
    voxels = tmp_path / "voxels.raw"
    meta = tmp_path / "b.mhd"
    meta.write_text("NDims = 3\nElementDataFile = voxels.raw\n")
    local = tmp_path / "c.mha"
    local.write_bytes(b"NDims = 3\nElementDataFile = LOCAL\nElementDataFile = none.raw\n")
    write_series(tmp_path / "d", VALUES)
    voxels.write_bytes(b"0")
    scans = (header, meta, local, tmp_path / "d")
    before = [scan_digest(scan) for scan in scans]
    assert before[2] == sha256(local)
    assert before == [scan_digest(scan) for scan in scans]
    voxels.write_bytes(b"1")
    (tmp_path / "d" / "004.dcm").write_bytes(b"1")
    assert [scan_digest(scan) == old for scan, old in zip(scans, before, strict=True)] == [
        False,
        False,
        True,
        False,
    ]
    (tmp_path / "d" / "004.dcm").unlink()
    assert scan_digest(tmp_path / "d") != before[3]


def test_a_scan_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no\.nii: no such file; check the path"):
        scan_digest(tmp_path / "no.nii")
