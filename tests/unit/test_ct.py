"""From Hounsfield units to the skull: table, holder and specks are removed; jaw, teeth and spine stay."""

import os
from pathlib import Path

import numpy as np
import pytest

from calvaria.errors import InputError
from calvaria.sources import Entry, ct
from calvaria.sources.bone import bones
from calvaria.sources.ct import CtSource
from calvaria.sources.volumes import read_volume
from tests.unit.builders import head_ct, ramp, write_nifti, write_nrrd, write_series
from tests.unit.dicoms import write_enhanced

ROOT = Path(__file__).parents[2]


def source_of(path: Path, **fields) -> CtSource:
    return CtSource(kind="ct", path=path, **fields)


@pytest.mark.parametrize("spacing", [2.0, 4.0])
def test_holder_sandbag_and_specks_go_and_the_jaw_stays(spacing):
    """Holder, sandbag and calcification are as dense as bone; the jaw is a separate piece."""
    values, affine, expected = head_ct(spacing)
    assert np.array_equal(bones(values, affine, 300), expected)


def test_axis_order_and_direction_do_not_matter():
    values, affine, expected = head_ct(4.0)
    found = bones(np.ascontiguousarray(values.transpose(2, 0, 1)[::-1]), affine[:, [2, 0, 1, 3]], 300)
    assert np.array_equal(found, expected.transpose(2, 0, 1)[::-1])


def test_a_dry_skull_is_its_largest_piece():
    """Without soft tissue there is no outline, and the holder must not be mistaken for one."""
    values, affine, expected = head_ct(3.0, tissue=False)
    found = bones(values, affine, 300)
    assert not (found & ~expected).any()
    assert np.count_nonzero(found) > 0.8 * np.count_nonzero(expected)


def test_a_streak_to_the_holder_does_not_bring_it_back():
    values, affine, expected = head_ct(3.0, holder_mm=128)
    middle = values.shape[0] // 2
    values[middle, : values.shape[1] // 2 - 20, values.shape[2] // 2] = 600  # occiput to border
    extra = bones(values, affine, 300) & ~expected
    assert np.count_nonzero(extra) * 27 < 1000  # mm3 of streaks, and nothing of the 50 ml holder


def test_the_threshold_counts():
    values, affine, expected = head_ct(4.0)
    assert not bones(values, affine, 1200).any()
    values[expected] = 300
    assert np.array_equal(bones(values, affine, 300), expected)
    assert not bones(values, affine, 301)[expected].any()


def test_files_and_series_are_found_and_read(tmp_path):
    """One folder has every kind of CT; both kinds of file give the same head."""
    values, affine, expected = head_ct(5.0)
    write_nifti(tmp_path / "a.nii.gz", values, affine)
    write_nrrd(tmp_path / "b.nrrd", values, affine)
    write_series(tmp_path / "c", ramp())
    source = source_of(tmp_path)
    found = source.entries("clinic")
    assert [entry.id for entry in found] == ["clinic/a", "clinic/b", "clinic/c"]
    assert [entry.fault for entry in found] == [None] * 3
    assert found[2].files == (tmp_path / "c",)
    for entry in found[:2]:
        scan = source.read(entry, seed=0)
        assert np.array_equal(scan.labels, expected)
        assert scan.labels.dtype == np.uint8


def test_series_are_named_by_their_whole_folders(tmp_path):
    """Folders are named by UIDs, or equally in each person's folder."""
    for place in ("1.2.840.1", "1.2.840.2", "p1/ct", "p2/ct"):
        (tmp_path / place).mkdir(parents=True)
        write_series(tmp_path / place, ramp())
    found = source_of(tmp_path, pattern="1.*").entries("clinic")
    assert [entry.own_id for entry in found] == ["1.2.840.1", "1.2.840.2"]
    found = source_of(tmp_path, pattern="p?/*").entries("clinic")
    assert [(entry.own_id, entry.fault) for entry in found] == [("p1/ct", None), ("p2/ct", None)]


def test_a_series_gives_the_same_skull(tmp_path):
    values, _, expected = head_ct(5.0)
    folder = tmp_path / "c"
    write_series(folder, np.flip(values, (0, 1)), step=(0, 0, 5), spacing=(5.0, 5.0))
    [entry] = source_of(tmp_path).entries("clinic")
    scan = source_of(tmp_path).read(entry, seed=0)
    assert np.array_equal(scan.labels, np.flip(expected, (0, 1)))
    assert np.allclose(scan.affine, np.diag([-5, -5, 5, 1]))  # the first slice of the series is at the origin


def test_slices_directly_in_the_folder_are_one_series(tmp_path):
    folder = tmp_path / "patient.1"
    write_series(folder, ramp())
    write_nrrd(folder / "other.nrrd", ramp())
    found = source_of(folder).entries("clinic")
    assert [(entry.id, entry.files) for entry in found] == [
        ("clinic/other", (folder / "other.nrrd",)),
        ("clinic/patient.1", (folder,)),
    ]


def test_series_in_subfolders_and_one_of_them_by_name(tmp_path):
    """An export has a folder for each study and series; slices outside these are another head."""
    values, _, expected = head_ct(5.0)
    settings = {"step": (0, 0, 5), "spacing": (5.0, 5.0)}
    (tmp_path / "p1").mkdir()
    write_series(tmp_path / "p1" / "soft", np.minimum(values, 250), **settings, SeriesDescription="soft")
    write_series(tmp_path / "p1" / "bone", values, **settings, series="7.7", SeriesDescription="bone")
    write_series(tmp_path, ramp(), prefix="loose")
    source = source_of(tmp_path, series="bone")
    loose, head = sorted(source.entries("clinic"), key=lambda entry: entry.files[0] != tmp_path)
    assert np.array_equal(source.read(head, seed=0).labels, expected)
    with pytest.raises(InputError, match="has no series 'bone'"):
        source.read(loose, seed=0)
    with pytest.raises(InputError, match="greatest value is 250"):
        source_of(tmp_path, series="soft").read(head, seed=0)


def test_enhanced_cts_are_heads_of_their_own(tmp_path):
    for name in ("a.dcm", "b"):
        write_enhanced(tmp_path / name, ramp(), list(range(6)))
    assert [entry.id for entry in source_of(tmp_path).entries("clinic")] == ["clinic/a", "clinic/b"]


def test_folders_without_slices_are_faults(tmp_path):
    (tmp_path / "empty").mkdir()
    write_series(tmp_path / "good", ramp())
    write_series(tmp_path / "good" / "deeper", ramp())
    good, empty = sorted(source_of(tmp_path).entries("clinic"), key=lambda entry: entry.fault or "")
    assert good.fault is None
    assert "empty: holds no DICOM slices" in (empty.fault or "")


@pytest.mark.real
def test_a_clinical_ct():
    """A right frontal defect and a head holder: the holder is removed, frontal sinus and defect stay."""
    shared = Path(os.environ.get("CALVARIA_REAL_DATA", ROOT.parent / "shared" / "data"))
    path = shared / "clinical_frontal_defect_ct.nii.gz"
    if not path.is_file():
        pytest.skip(f"no clinical CT at {path}; set CALVARIA_REAL_DATA")
    scan = source_of(shared).read(Entry("a/a", "a", (path,)), seed=0)
    places = np.argwhere(scan.labels)
    assert np.count_nonzero(scan.labels) * 0.957**2 * 1.5 / 1000 == pytest.approx(554, abs=2)
    assert places[:, 0].min() > 45
    assert places[:, 0].max() < 205
    assert scan.labels[131, 190:225, 55].any()  # the thin bone anterior to the frontal sinus


def circle(values: np.ndarray) -> np.ndarray:
    """Return (i, j, 1) bool, the reconstructed field of view; scanners fill the corners with a constant."""
    i, j = np.meshgrid(*(np.linspace(-1, 1, n) for n in values.shape[:2]), indexing="ij")
    return (np.hypot(i, j) <= 1)[:, :, None]


@pytest.mark.parametrize("padding", [-1000, -1024, -2000, -3024, -32768])
def test_padding_beside_air_is_no_fault(tmp_path, padding):
    """CTs in Hounsfield units are accepted with any corner values, and with air set to one value."""
    values, affine, _ = head_ct(6.0)
    path = write_nifti(tmp_path / "a.nii", np.where(circle(values), values, padding).astype(np.int16), affine)
    ct.check_hounsfield(path, read_volume(path), 300)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values + 1024, r"intercept was not applied: there is nothing below 24,.*-1024"),
        (lambda values: np.where(circle(values), values + 1024, -2000), r"only the padding -2000 below -200"),
        (lambda values: np.where(circle(values), values + 1024, -32768), r"only the padding -32768 below"),
        (lambda values: (values > 300).astype(np.int16), "kind: folder"),
        (lambda values: np.minimum(values, 200), r"greatest value is 200 HU.*threshold_hu \(300\)"),
    ],
)  # fmt: skip
def test_what_is_not_in_hounsfield_units_is_refused(tmp_path, change, message):
    values, affine, _ = head_ct(6.0)
    path = write_nifti(tmp_path / "odd.nii", change(values).astype(np.int16), affine)
    with pytest.raises(InputError, match=message) as caught:
        source_of(tmp_path).read(Entry("a/odd", "a/odd", (path,)), seed=0)
    assert "odd.nii" in str(caught.value)
