"""A folder's volumes become entries; other files are reported and hide no volume."""

import numpy as np
import pytest

from calvaria import sources
from calvaria.errors import InputError
from calvaria.sources.ct import CtSource
from calvaria.sources.folder import FolderSource
from tests.unit.builders import AFFINE, mask, write_nifti, write_nrrd


def source_of(path, **fields) -> FolderSource:
    return FolderSource(kind="folder", path=path, **fields)


def test_entries_and_scans(tmp_path):
    """Ids are sorted names without extension; hidden files and notes are ignored."""
    write_nifti(tmp_path / "b.x.nii.gz", mask())
    write_nrrd(tmp_path / "a.nrrd", mask(np.int32))
    for name in ("README", "LICENSE.txt", ".DS_Store", "people.csv", "dataset.json", "notes.md"):
        (tmp_path / name).write_text("about the data")
    (tmp_path / "deeper").mkdir()
    source = source_of(tmp_path)
    found = source.entries("mine")
    assert [(entry.id, entry.person, entry.fault) for entry in found] == [
        ("mine/a", "mine/a", None),
        ("mine/b.x", "mine/b.x", None),
    ]
    assert found[0].files == (tmp_path / "a.nrrd",)
    for entry in found:
        scan = source.read(entry, seed=0)
        assert np.array_equal(scan.labels, mask())
        assert np.allclose(scan.affine, AFFINE)


def test_pattern_and_limit(tmp_path):
    for name in ("3", "1", "2"):
        write_nifti(tmp_path / f"{name}.nii", mask())
        write_nifti(tmp_path / f"{name}.nii.gz", mask())
    found = source_of(tmp_path, pattern="*.nii.gz", limit=2).entries("mine")
    assert [entry.own_id for entry in found] == ["1", "2"]
    assert all(entry.files[0].name.endswith(".gz") for entry in found)


def test_people(tmp_path):
    """Two scans of a person share the person, so that no split can separate them."""
    for name in ("p1_first", "p1_second", "p2_first", "odd"):
        write_nifti(tmp_path / f"{name}.nii", mask())
    found = source_of(tmp_path, person=r"^(p\d+)_").entries("mine")
    assert [(entry.own_id, entry.person) for entry in found if entry.fault is None] == [
        ("p1_first", "mine/p1"),
        ("p1_second", "mine/p1"),
        ("p2_first", "mine/p2"),
    ]
    [odd] = [entry for entry in found if entry.fault is not None]
    assert "odd.nii" in (odd.fault or "")
    assert "does not match a person" in (odd.fault or "")


def test_equal_ids_are_both_faults_and_stay_apart(tmp_path):
    """Ids of entries are unique even then, since stores and reports are keyed by them."""
    for name in ("a.nii", "a.nrrd", "b.nii"):
        (write_nrrd if name.endswith("nrrd") else write_nifti)(tmp_path / name, mask())
    found = source_of(tmp_path).entries("mine")
    assert [(entry.own_id, entry.fault is None) for entry in found] == [
        ("a.nii", False),
        ("a.nrrd", False),
        ("b", True),
    ]
    assert all("several files have the id a" in (entry.fault or "") for entry in found[:2])


def test_ids_are_whole_names(tmp_path):
    """UIDs contain dots; up to the first dot, all skulls of TCIA would be 1."""
    for name in ("1.3.6.1.4", "1.3.6.1.5", "CQ500CT0 CT 4cc", "x.seg"):
        write_nrrd(tmp_path / f"{name}.nrrd", mask())
    found = source_of(tmp_path).entries("mine")
    assert [entry.own_id for entry in found] == ["1.3.6.1.4", "1.3.6.1.5", "CQ500CT0 CT 4cc", "x"]
    assert not any(entry.fault for entry in found)


def test_one_name_in_each_persons_folder(tmp_path):
    """Such files have their path without extension as id; others keep their names."""
    for place in ("p1/ct.nii.gz", "p2/ct.nii.gz", "p2/other.nii.gz", "p3/a.nii", "p3/a.nrrd", "p4/a.nii"):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        (write_nrrd if place.endswith("nrrd") else write_nifti)(path, mask())
    found = source_of(tmp_path, pattern="*/*", person="^(p[0-9])?").entries("mine")
    assert [(entry.own_id, entry.fault is None) for entry in found] == [
        ("other", False),  # of no person
        ("p1/ct", True),
        ("p2/ct", True),
        ("p3/a.nii", False),
        ("p3/a.nrrd", False),
        ("p4/a", True),
    ]
    assert [entry.person for entry in found if entry.fault is None] == ["mine/p1", "mine/p2", "mine/p4"]
    assert "several files have the id p3/a (" in (found[3].fault or "")


def test_one_bad_file_among_good_ones_hides_none(tmp_path):
    """A run continues without the bad files, and reports the fault of each."""
    for name in ("a", "c", "e"):
        write_nifti(tmp_path / f"{name}.nii.gz", mask())
    (tmp_path / "b.nii.gz").write_bytes(b"")
    (tmp_path / "d.nii.gz").symlink_to("nowhere.nii.gz")
    (tmp_path / "e.zip").write_bytes(b"PK")
    (tmp_path / "f.stl").write_bytes(b"solid")
    config = {"mine": source_of(tmp_path)}
    good, bad = [], {}
    for entry in sources.catalogue(config):
        try:
            sources.read(config, entry, seed=0)
            good.append(entry.own_id)
        except InputError as error:
            bad[entry.own_id] = str(error)
    assert good == ["a", "c", "e"]
    assert sorted(bad) == ["b", "d", "e.zip", "f.stl"]
    assert "0 bytes" in bad["b"]
    assert "nowhere.nii.gz" in bad["d"]


def test_the_data_of_a_detached_header_is_no_skull_of_its_own(tmp_path):
    (tmp_path / "a.nhdr").write_text("NRRD0005\n")
    (tmp_path / "a.raw").write_bytes(b"1")
    [entry] = source_of(tmp_path).entries("mine")
    assert (entry.own_id, entry.fault) == ("a", None)


def test_links_are_followed(tmp_path):
    """Data sets may be symbolic links, as a whole or per skull."""
    (tmp_path / "data").mkdir()
    write_nifti(tmp_path / "data" / "x.nii", mask())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "y.nii").symlink_to(tmp_path / "data" / "x.nii")
    (tmp_path / "linked").symlink_to(tmp_path / "mine")
    source = source_of(tmp_path / "linked")
    [entry] = source.entries("mine")
    assert entry.own_id == "y"
    assert source.read(entry, 0).labels.any()


@pytest.mark.parametrize("plugin", [FolderSource, CtSource])
def test_what_stops_a_source_as_a_whole(tmp_path, plugin):
    """These are errors in the config, and the message names the key."""

    def of(path, **fields):
        kind = plugin.__module__.rsplit(".", 1)[1]
        return plugin(kind=kind, path=path, **fields)

    absent = tmp_path / "absent"
    with pytest.raises(
        InputError, match=rf"ingest\.sources\.mine\.path: no such folder: {absent}; put .*ln -s"
    ):
        of(absent).entries("mine")
    with pytest.raises(InputError, match=r"ingest\.sources\.mine: nothing in .*; put"):
        of(tmp_path).entries("mine")
    write_nifti(tmp_path / "a.nii", mask())
    with pytest.raises(InputError, match=r"mine\.person: .* not a valid regular expression .*; correct"):
        of(tmp_path, person="(").entries("mine")
    with pytest.raises(InputError, match=r"mine\.person: .* has no group; put parentheses"):
        of(tmp_path, person="a").entries("mine")
    for pattern in ("", "/*"):
        with pytest.raises(InputError, match=r"mine\.pattern: .*; write"):
            of(tmp_path, pattern=pattern).entries("mine")
