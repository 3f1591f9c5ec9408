"""SkullFix and SkullBreak are read in their exact layouts, and contradictory parts are rejected."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calvaria.errors import InputError
from calvaria.sources import Entry, skullbreak, skullfix
from calvaria.sources.skullbreak import SkullbreakSource
from calvaria.sources.skullfix import SkullfixSource
from calvaria.sources.triplet import read_triplet

SHAPE = (40, 48, 30)
# Rows are the steps along i, j, k in LPS millimetres, as in the published files: tilted, and not isotropic.
STEPS = np.array([[0.45, 0, 0], [0, 0.446, -0.071], [0, 0.099, 0.625]])
ORIGIN = np.array([-120.2, -127.8, -10.2])


def skull() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return complete skull, defective skull and implant: a shell, with a hole, and the missing part."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    complete = (radius < 0.9) & (radius > 0.7)
    hole = (x > 0.2) & (z > 0.1)
    return complete, complete & ~hole, complete & hole


def write(path: Path, mask: np.ndarray, origin: np.ndarray = ORIGIN) -> Path:
    """Write a part as published: int32 in gzipped NRRD."""
    import nrrd

    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"space": "left-posterior-superior", "space directions": STEPS, "space origin": origin}
    nrrd.write(str(path), mask.astype(np.int32), header)
    return path


def write_all(root: Path, id: str, folders: tuple[str, str, str]) -> None:
    for folder, mask in zip(folders, skull(), strict=True):
        write(root / folder / f"{id}.nrrd", mask)


def defect(type: str) -> tuple[str, str, str]:
    return "complete_skull", f"defective_skull/{type}", f"implant/{type}"


def fix(path: Path, **more: Any) -> SkullfixSource:
    return SkullfixSource(kind="skullfix", path=path, **more)


def breaks(path: Path, **more: Any) -> SkullbreakSource:
    return SkullbreakSource(kind="skullbreak", path=path, **more)


@pytest.fixture
def triplet(tmp_path: Path) -> tuple[Path, Path, Path]:
    names = ("complete", "defective", "implant")
    complete, defective, implant = (
        write(tmp_path / f"{name}.nrrd", mask) for name, mask in zip(names, skull(), strict=True)
    )
    return complete, defective, implant


def test_labels_and_affine_are_those_of_the_files(triplet: tuple[Path, Path, Path]) -> None:
    """Bone is 1, implant 2; the tilted LPS header becomes a RAS+ affine; the complete skull is optional."""
    _, defective, implant = skull()
    for scan in read_triplet(*triplet), read_triplet(None, *triplet[1:]):
        assert scan.labels.dtype == np.uint8
        assert np.array_equal(scan.labels, defective + 2 * implant)
        assert scan.affine[:3, 3] == pytest.approx([120.2, 127.8, -10.2])
        assert scan.affine[:3, 1] == pytest.approx([0, -0.446, -0.071])
        assert scan.affine[:3, 2] == pytest.approx([0, -0.099, 0.625])


def test_a_voxel_in_both_parts_is_refused(triplet: tuple[Path, Path, Path]) -> None:
    """An implant that overlaps the remaining bone belongs to another skull or another defect."""
    _, defective, implant = skull()
    implant |= defective & (np.cumsum(defective).reshape(SHAPE) <= 3)
    write(triplet[2], implant)
    with pytest.raises(InputError, match=r"implant\.nrrd and .*defective\.nrrd: 3 voxels are both"):
        read_triplet(*triplet)


def test_parts_that_do_not_add_up_are_refused(triplet: tuple[Path, Path, Path]) -> None:
    """A missing or an extra voxel shows that the files do not belong together."""
    complete, _, _ = skull()
    complete[np.unravel_index(complete.argmax(), SHAPE)] = False
    complete[0, 0, :2] = True
    write(triplet[0], complete)
    with pytest.raises(InputError, match=r"complete\.nrrd: .* 2 of its voxels are in neither, 1 of theirs"):
        read_triplet(*triplet)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_an_empty_part_is_refused(triplet: tuple[Path, Path, Path], part: int) -> None:
    """Without a defect or without bone, a case is useless for training and evaluation."""
    write(triplet[part], np.zeros(SHAPE))
    with pytest.raises(InputError, match=f"{triplet[part].name}: is empty"):
        read_triplet(*triplet)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_parts_on_different_grids_are_refused(triplet: tuple[Path, Path, Path], part: int) -> None:
    """Different shapes and headers are an error; rounding of a header is not."""
    mask = skull()[part]
    write(triplet[part], mask, ORIGIN + 1e-5)
    read_triplet(*triplet)
    write(triplet[part], mask, ORIGIN + np.array([0, 0.3, 0]))
    with pytest.raises(InputError, match=r"origins differ, .* 0.3 mm, expected at most 0.045 mm"):
        read_triplet(*triplet)
    write(triplet[part], mask[:, :-1])
    with pytest.raises(InputError, match=r"has 40 x 4[78] x 30 voxels, .* has 40 x 4[78] x 30"):
        read_triplet(*triplet)


@pytest.mark.parametrize("above", ["training_set", "."])
def test_skullfix_is_listed_and_read(tmp_path: Path, above: str) -> None:
    """Both training_set and its parent folder are accepted; the evaluation set is excluded."""
    for id in ("050", "000", "007"):
        write_all(tmp_path / above, id, skullfix.PARTS)
    (tmp_path / above / "implant" / "._000.nrrd").touch()
    write(tmp_path / "test_set_for_participants" / "100.nrrd", skull()[1])
    found = fix(tmp_path).entries("fix")
    assert [entry.id for entry in found] == ["fix/000", "fix/007", "fix/050"]
    assert [entry.person for entry in found] == ["fix/000", "fix/007", "fix/050"]
    assert all(entry.fault is None and len(entry.files) == 3 for entry in found)
    assert fix(tmp_path, limit=2).entries("fix") == found[:2]
    labels = fix(tmp_path).read(found[1], 0).labels
    assert np.array_equal(labels, skull()[1] + 2 * skull()[2])


def test_converted_skullfix_is_read(tmp_path: Path) -> None:
    """Copies of the data set converted to NIfTI have the same ids and voxels."""
    import nibabel

    affine = np.diag([-0.45, -0.45, 0.625, 1.0])
    for part, mask in zip(skullfix.PARTS, skull(), strict=True):
        (tmp_path / part).mkdir()
        nibabel.save(nibabel.Nifti1Image(mask.astype(np.uint8), affine), tmp_path / part / "003.nii.gz")
    (entry,) = fix(tmp_path).entries("fix")
    scan = fix(tmp_path).read(entry, 0)
    assert entry.id == "fix/003"
    assert np.array_equal(scan.labels, skull()[1] + 2 * skull()[2])
    (tmp_path / "implant" / "003.nrrd").touch()
    with pytest.raises(InputError, match=r"003\.nii\.gz and .*003\.nrrd: .* remove one"):
        fix(tmp_path).entries("fix")


@pytest.mark.parametrize("part", skullfix.PARTS)
def test_a_missing_partner_is_a_fault_of_its_skull_alone(tmp_path: Path, part: str) -> None:
    """An incomplete download excludes one skull with a warning, not the whole set."""
    for id in ("000", "001"):
        write_all(tmp_path, id, skullfix.PARTS)
    (tmp_path / part / "000.nrrd").unlink()
    faulty, sound = fix(tmp_path).entries("fix")
    assert (
        faulty.fault
        == f"no such file: {tmp_path / part / '000.nrrd'}; restore it from the data set's archive"
    )
    assert len(faulty.files) == 2
    assert sound.fault is None


def test_a_folder_that_is_not_skullfix_is_refused(tmp_path: Path) -> None:
    """The message names the key, the folder and its expected content."""
    with pytest.raises(
        InputError, match=r"ingest\.sources\.fix\.path: .*absent has no folder complete_skull"
    ):
        fix(tmp_path / "absent").entries("fix")
    for part in skullfix.PARTS:
        (tmp_path / part).mkdir()
    with pytest.raises(InputError, match=r"no \.nrrd or \.nii\.gz file"):
        fix(tmp_path).entries("fix")


@pytest.mark.parametrize("complete_by_type", [False, True])
def test_skullbreak_is_listed_and_read(tmp_path: Path, complete_by_type: bool) -> None:
    """Both layouts are read; the defects of a skull belong to one person; absent types are no fault."""
    types = ("bilateral", "random_2")
    for type in types:
        parts = defect(type)
        for id in ("001", "000"):
            write_all(tmp_path, id, (f"complete_skull/{type}", *parts[1:]) if complete_by_type else parts)
    found = breaks(tmp_path).entries("br")
    ids = ["br/000-bilateral", "br/000-random_2", "br/001-bilateral", "br/001-random_2"]
    assert [entry.id for entry in found] == ids
    assert [entry.person for entry in found] == ["br/000", "br/000", "br/001", "br/001"]
    assert not any(entry.fault for entry in found)
    assert breaks(tmp_path, limit=3).entries("br") == found[:3]
    scan = breaks(tmp_path).read(found[1], 0)
    assert np.array_equal(scan.labels, skull()[1] + 2 * skull()[2])


def test_skullbreak_faults(tmp_path: Path) -> None:
    """A missing file is a fault of the entries that need it; a folder without defects is rejected."""
    with pytest.raises(InputError, match=r"ingest\.sources\.br\.path: .* no volume in defective_skull"):
        breaks(tmp_path).entries("br")
    for type in skullbreak.TYPES:
        write_all(tmp_path, "000", defect(type))
    (tmp_path / "implant/random_1/000.nrrd").unlink()
    faults = {entry.own_id: entry.fault for entry in breaks(tmp_path).entries("br")}
    assert "implant/random_1/000.nrrd" in str(faults.pop("000-random_1"))
    assert list(faults.values()) == [None] * 4
    (tmp_path / "complete_skull/000.nrrd").unlink()
    found = breaks(tmp_path).entries("br")
    assert all("complete_skull/000.nrrd" in str(entry.fault) for entry in found)


@pytest.mark.real
def test_published_triplets_are_exact(real_skulls: Path) -> None:
    """The native files pass an exact check, and give the published numbers of voxels."""
    path = real_skulls.parent / "skullfix_native"
    if not path.is_dir():
        pytest.skip(f"no native triplets at {path}; set CALVARIA_REAL_DATA")
    source = fix(path)
    found: list[Entry] = source.entries("native")
    assert {"000", "050"} <= {entry.own_id for entry in found}
    sizes = []
    for entry in (entry for entry in found if entry.own_id in ("000", "050")):
        scan = source.read(entry, 0)
        sizes.append(np.bincount(scan.labels.ravel("K"), minlength=3)[1:].tolist())
        assert np.linalg.norm(scan.affine[:3, :3], axis=0)[2] == pytest.approx(0.633, abs=0.002)
    assert sizes == [[3307065, 281767], [3231875, 328933]]
