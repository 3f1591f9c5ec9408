"""Segmentations are read by the names of their segments, never by numbers that contradict these."""

from pathlib import Path

import numpy as np
import pytest

from calvaria.errors import InputError
from calvaria.sources import Entry
from calvaria.sources.folder import FolderSource
from calvaria.sources.volumes import is_label_like, read_labels, read_mask, read_volume, skull_of
from tests.unit.builders import SHAPE, write_nrrd


def labels(bone: int = 1, implant: int = 2) -> np.ndarray:
    values = np.zeros(SHAPE, np.uint8)
    values[1:4, 1:3, 1:3] = bone
    values[4, 1:3, 1:3] = implant
    return values


def saved(path: Path, values: np.ndarray, segments: dict[int, str]) -> Path:
    """Write a file as Slicer does: segment numbers differ from label values."""
    import nrrd

    write_nrrd(path, values)
    data, header = nrrd.read(str(path))
    for number, (label, name) in enumerate(segments.items()):
        header[f"Segment{number}_Name"], header[f"Segment{number}_LabelValue"] = name, str(label)
        header[f"Segment{number}_Layer"] = "0"
    nrrd.write(str(path), data, header)
    return path


@pytest.mark.parametrize(
    ("bone", "implant"), [("Skull", "Implant"), ("remaining_bone", "IMPLANT 2"), ("Cranium", "skull implant")]
)
@pytest.mark.parametrize("numbers", [(1, 2), (2, 1), (7, 3)])
def test_bone_and_implant_are_what_they_are_named(tmp_path, bone, implant, numbers):
    """Exchanged numbers would silently turn the implant into bone."""
    names = {numbers[0]: bone, numbers[1]: implant}
    path = saved(tmp_path / "a.seg.nrrd", labels(*numbers), names)
    found = read_labels(path)
    assert np.array_equal(found.values, labels())
    assert found.origin.meanings == {1: bone, 2: implant}
    assert bool(found.origin.notes) == (numbers != (1, 2))
    volume = read_volume(path)
    assert is_label_like(volume)
    assert np.array_equal(skull_of(path, volume).values, labels())
    with pytest.raises(InputError, match=rf"segments .*{bone} \({numbers[0]}\).*expected one; export"):
        read_mask(path)
    scan = FolderSource(kind="folder", path=tmp_path).read(Entry("a/a", "a/a", (path,)), 0)
    assert scan.summary is not None
    assert f"1 is {bone}, 2 is {implant}" in scan.summary.lines()[0]


def test_a_segment_alone_is_a_mask_whatever_its_name_and_number(tmp_path):
    path = saved(tmp_path / "a.seg.nrrd", labels(5, 0), {5: "Implant"})
    assert np.array_equal(read_mask(path).values, labels(1, 0))
    assert read_mask(path).origin.meanings == {1: "Implant"}
    with pytest.raises(InputError, match=r"only segment is Implant \(5\), expected bone; name the bone"):
        read_labels(path)
    path = saved(tmp_path / "b.seg.nrrd", labels(5, 0), {5: "Bone"})
    assert np.array_equal(read_labels(path).values, labels(1, 0))


def test_names_that_tell_nothing_leave_the_numbers(tmp_path):
    """Slicer's own names, such as Segment_1, contradict nothing."""
    path = saved(tmp_path / "a.seg.nrrd", labels(), {1: "Segment_1", 2: "Segment_2"})
    assert np.array_equal(read_labels(path).values, labels())
    path = saved(tmp_path / "b.seg.nrrd", labels(1, 6), {1: "Segment_1", 6: "Segment_6"})
    with pytest.raises(InputError, match=r"its segments are Segment_1 \(1\), Segment_6 \(6\): name the bone"):
        read_labels(path)


@pytest.mark.parametrize(
    "names",
    [
        {1: "Skull", 2: "Brain"},
        {1: "Implant", 2: "Segment_2"},
        {1: "Skull", 2: "Bone"},
        {1: "Skull", 2: "Implant", 3: "Skin"},
        {1: "Skull", 2: "Skull without implant"},
    ],
)
def test_segments_that_cannot_be_told_apart_are_listed(tmp_path, names):
    path = saved(tmp_path / "a.seg.nrrd", labels(), names)
    with pytest.raises(
        InputError, match=r"has the segments .*\(1\), .*\(2\).* name the bone's segment Skull"
    ):
        read_labels(path)


def test_overlapping_segments_are_refused_by_name(tmp_path):
    """Such segments are stored in layers, and a voxel may belong to several."""
    import nrrd

    header = {
        "space": "left-posterior-superior",
        "space directions": np.vstack([np.full(3, np.nan), np.eye(3)]),
        "space origin": np.zeros(3),
        "kinds": ["list", "domain", "domain", "domain"],
    }
    for number, name in enumerate(("Skull", "Implant")):
        header |= {f"Segment{number}_Name": name, f"Segment{number}_LabelValue": "1"}
        header[f"Segment{number}_Layer"] = str(number)
    nrrd.write(str(tmp_path / "a.seg.nrrd"), np.zeros((2, *SHAPE), np.uint8), header)
    with pytest.raises(InputError, match=r"segments Skull, Implant overlap.*; export .*labelmap"):
        read_labels(tmp_path / "a.seg.nrrd")
