"""`calvaria inject SKULL` cuts defects on the native grid, and records their parameters."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calvaria import seeds
from calvaria.defects import inject_skull as module
from calvaria.defects.apply import apply_defect
from calvaria.defects.defect import Healing, Plane, from_json
from calvaria.defects.inject_skull import chosen_recipe, inject_skull
from calvaria.defects.native_grid import OwnGrid, cut
from calvaria.errors import BudgetError, ConfigError, InputError
from calvaria.geometry.grid import BONE, IMPLANT, Grid
from calvaria.geometry.resample import resample
from calvaria.skull.vault import find_vault
from calvaria.sources import Scan
from calvaria.sources.volumes import read_labels
from tests.unit.builders import write_nifti, write_nrrd, write_series
from tests.unit.heads import head, moved, stored, turn, with_hole

HEALING = Healing(width_mm=14, thinning=0.7, side="outer")
UNSEEN = (Plane(normal=(0.0, 0.1, 0.995), offset_mm=40.0), Plane(normal=(0.0, 0.0, -1.0), offset_mm=-5.0))


def oblique() -> Scan:
    """Return a rotated head in a scan with thick slices along the second axis of the file."""
    scan = head(1, 2.0)
    thick = Scan(scan.labels[:, :, ::2], scan.affine @ np.diag([1.0, 1, 2, 1]))
    return stored(moved(thick, turn(12, -7, 15), (30, -20, 100)), (1, 2, 0), (0,))


@pytest.fixture(scope="module", autouse=True)
def coarse_drawing() -> Iterator[None]:
    """Draw defects on a coarser skull than usual, in an eighth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "GRID", Grid((112, 136, 128), 2.0))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scan, Path, Path]:
    """A scan, its file, and the folder of two cases of it."""
    folder = tmp_path_factory.mktemp("inject")
    scan = oblique()
    path = write_nrrd(folder / "skull.nrrd", scan.labels, scan.affine)
    inject_skull(path, "spheres", 2, 5, folder / "new" / "cases", None)
    return scan, path, folder / "new" / "cases"


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "defects.jsonl").read_text().splitlines()]


def test_cases_lie_on_the_files_own_grid(made):
    """Shape and affine are the same, and bone and implant together are exactly the skull."""
    scan, _, folder = made
    assert sorted(path.name for path in folder.iterdir()) == ["000.nii.gz", "001.nii.gz", "defects.jsonl"]
    for row in rows(folder):
        case = read_labels(folder / row["file"])
        assert np.array_equal(case.values > 0, scan.labels > 0)
        assert np.allclose(case.affine, scan.affine, rtol=0, atol=1e-5)  # NIfTI keeps float32
        millilitres = np.count_nonzero(case.values == IMPLANT) * abs(np.linalg.det(scan.affine)) / 1000
        assert row["implant_ml"] == pytest.approx(millilitres, abs=1e-3)
        assert 4 <= millilitres <= 200
        assert row["sha256"] == hashlib.sha256((folder / row["file"]).read_bytes()).hexdigest()
        assert (row["recipe"], row["seed"]) == ("spheres", 5)
        assert row["attempt"] >= 0


def test_a_case_can_be_made_again_from_its_row(made):
    """The row's parameters and pose are sufficient."""
    scan, _, folder = made
    row = rows(folder)[1]
    to_box = np.array(row["to_box"])
    own = OwnGrid.of(scan.labels.shape, scan.affine, to_box)
    conformed = resample(scan.labels, scan.affine, to_box, module.GRID)
    labels = cut(scan.labels, own, from_json(row["parameters"]), conformed, module.GRID)
    assert np.array_equal(labels, read_labels(folder / row["file"]).values)


def test_the_same_seed_gives_the_same_bytes_elsewhere(made, tmp_path):
    """A case does not depend on the folder, the file's name and format, or the number of cases."""
    scan, _, folder = made
    path = write_nifti(tmp_path / "other name.nii", scan.labels, scan.affine)
    (tmp_path / "empty").mkdir()
    inject_skull(path, "spheres", 1, 5, tmp_path / "empty", None)
    again = tmp_path / "empty"
    labels = [read_labels(place / "000.nii.gz").values for place in (folder, again)]
    assert np.array_equal(*labels)
    inject_skull(path, "spheres", 1, 5, tmp_path / "twice", None)
    for name in ("000.nii.gz", "defects.jsonl"):
        assert (again / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()
    packed = (again / "000.nii.gz").read_bytes()
    assert packed[3:8] == bytes(5)  # no name and no time
    case = read_labels(folder / "001.nii.gz").values
    assert not np.array_equal(labels[0], case)  # another number, another defect


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(["spheres", "rounded_box", "ellipsoid", "cuboid", "craniotomy"]),
    healing=st.sampled_from([None, HEALING]),
    unseen=st.sampled_from([(), UNSEEN]),
    axes=st.permutations([0, 1, 2]),
    flips=st.sets(st.integers(0, 2)),
)
def test_cutting_on_the_own_grid_is_cutting_on_the_canonical_one(seed, kind, healing, unseen, axes, flips):
    """If both grids are the same except for the order of the file's axes, so are the labels."""
    grid = Grid((40, 48, 40), 4.5)  # voxel positions are exact in binary
    skull = resample(head(2, 2.0).labels, head(2, 2.0).affine, np.eye(4), grid)
    recipe = chosen_recipe(kind, None).recipes[kind]
    defect = recipe.draw(np.random.default_rng(seed), skull, grid, find_vault(skull, grid))
    defect = defect.model_copy(update={"healing": healing, "unseen": unseen})
    file = stored(Scan(skull, grid.affine), tuple(axes), tuple(flips))
    own = OwnGrid.of(file.labels.shape, file.affine, np.eye(4))
    found = cut(file.labels, own, defect, skull, grid)
    wanted = stored(Scan(apply_defect(skull, grid, defect), grid.affine), tuple(axes), tuple(flips)).labels
    assert np.array_equal(found, wanted)
    if not unseen:
        assert np.array_equal(found > 0, file.labels > 0)


@pytest.mark.parametrize("angle", [0, 20, 45])
def test_a_window_holds_all_of_a_box(angle):
    """No defect is truncated by its bounding box, also on oblique grids."""
    affine = np.eye(4)
    affine[:3, :3] = turn(angle, -angle, 2 * angle) * (0.5, 2.0, 1.1)
    affine[:3, 3] = (-40, -30, 10)
    own = OwnGrid.of((60, 50, 40), affine, np.eye(4))
    x, y, z = own.positions(tuple(np.indices(own.shape, np.float64).reshape(3, -1)))
    middle = np.median([x, y, z], axis=1)
    low, high = middle - np.array([5, 9, 4]), middle + np.array([7, 3, 8])
    inside = np.all([(a >= lo) & (a <= hi) for a, lo, hi in zip((x, y, z), low, high, strict=True)], axis=0)
    kept = np.zeros(own.shape, bool)
    kept[own.window(tuple(low), tuple(high), 0.0)] = True
    assert inside.any()
    assert kept.ravel()[inside].all()
    assert own.voxel_ml == pytest.approx(1.1e-3)


def write(path: Path, scan: Scan) -> Path:
    return write_nifti(path / "skull.nii.gz", scan.labels, scan.affine)


def test_a_skull_that_cannot_be_used_is_named_and_nothing_is_written(tmp_path):
    """The input is unreadable, no skull, or a skull with a hole."""
    ball = np.indices((60, 60, 60)) - 30
    ball = Scan(((ball**2).sum(axis=0) < 26**2).astype(np.uint8), np.diag([3.0, 3, 3, 1]))
    hounsfield = Scan(head(1, 2.0).labels.astype(np.int16) * 900 - 300, head(1, 2.0).affine)
    for scan, words in (
        (ball, "not a skull|size|thickness"),
        (with_hole(head(1, 2.0), 35), "defective"),
        (hounsfield, "looks like a CT; inject takes masks: segment"),
    ):
        path = write(tmp_path, scan)
        with pytest.raises(InputError, match=rf"skull\.nii\.gz: .*({words})"):
            inject_skull(path, "spheres", 1, 0, tmp_path / "cases", None)
    with pytest.raises(InputError, match=r"none\.nii"):
        inject_skull(tmp_path / "none.nii", "spheres", 1, 0, tmp_path / "cases", None)
    assert [path.name for path in tmp_path.iterdir()] == ["skull.nii.gz"]


def test_slices_of_a_ct_are_refused_as_what_they_are(tmp_path):
    """For a folder or one of its files, the remedy is segmentation, not moving files."""
    [path, *_] = write_series(tmp_path / "ct", np.zeros((5, 7, 3), np.int16))
    for scan in (tmp_path / "ct", path):
        with pytest.raises(InputError, match=r"looks like a CT; inject takes masks: segment the CT first"):
            inject_skull(scan, "spheres", 1, 0, tmp_path / "cases", None)
    assert not (tmp_path / "cases").exists()


def test_an_implant_belongs_to_the_skull(tmp_path):
    """A labelled case is treated as a complete skull, as by other commands."""
    scan = with_hole(head(1, 3.0), 30, label=2)
    inject_skull(write(tmp_path, scan), "rounded_box", 1, 1, tmp_path / "cases", None)
    assert np.array_equal(read_labels(tmp_path / "cases" / "000.nii.gz").values > 0, scan.labels > 0)


def test_a_folder_in_use_is_left_alone(tmp_path):
    """Nothing is overwritten; the skull is not even read."""
    used = tmp_path / "cases"
    used.mkdir()
    (used / "mine.txt").write_text("mine")
    for out in (used, used / "mine.txt"):
        with pytest.raises(InputError, match="not an empty folder"):
            inject_skull(tmp_path / "none.nii", "spheres", 1, 0, out, None)
    assert [path.name for path in used.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(("axes", "flips"), [((0, 1, 2), (0, 1)), ((2, 0, 1), (1,)), ((2, 1, 0), ())])
def test_the_file_s_storage_order_changes_nothing(tmp_path, axes, flips):
    """The defect is in the same voxels, and the pose maps each file's millimetres to the same place."""
    scan = moved(head(1, 3.0), turn(12, -7, 15), (30.1, -20.7, 100.3))
    cases = []
    for name, file in (("first", scan), ("other", stored(scan, axes, flips))):
        path = write_nifti(tmp_path / f"{name}.nii", file.labels, file.affine)
        inject_skull(path, "spheres", 1, 5, tmp_path / name, None)
        cases.append((read_labels(tmp_path / name / "000.nii.gz"), rows(tmp_path / name)[0]))
    (case, row), (again, other) = cases
    expected = stored(Scan(case.values, case.affine), axes, flips)
    assert np.array_equal(again.values, expected.labels)
    assert other["parameters"] == row["parameters"]
    assert np.allclose(other["to_box"], row["to_box"], rtol=0, atol=1e-4)


def test_what_is_unusual_is_a_warning_and_the_work_goes_on(tmp_path, caplog):
    scan = head(1, 3.0)
    cut = Scan(scan.labels[:, :, :-9], scan.affine)
    inject_skull(write(tmp_path, cut), "spheres", 1, 1, tmp_path / "cases", None)
    assert "skull.nii.gz: warning: vault cut off: " in caplog.text
    assert read_labels(tmp_path / "cases" / "000.nii.gz").values.any()


def config_with(folder: Path, **inject: Any) -> Path:
    """Write a small config with its own recipe."""
    import yaml

    path = folder / "config.yaml"
    recipe = {"kind": "spheres", "primary_radius_mm": {"mean": 20, "sd": 0}, "secondary_count": [0, 0]}
    content = {
        "name": "tiny",
        "grid": {"shape": [48, 56, 48], "spacing_mm": 3.75},
        "ingest": {"sources": {"phantom": {"kind": "phantom", "count": 4}}},
        "fit": {"real": {"kind": "real"}},
        "inject": {"recipes": {"small": recipe, "other": {"kind": "rounded_box"}}, **inject},
        "train": {"arms": {"plain": {"families": {"real": 1}}}, "optimiser": {"steps": 2}},
    }
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_recipe_comes_from_a_config(tmp_path):
    """All options of the recipe's section are used."""
    path = config_with(tmp_path, attempts=7)
    section = chosen_recipe("small", path)
    assert list(section.recipes) == ["small"]
    assert section.attempts == 7
    with pytest.raises(InputError, match=r"--recipe spheres: .*config\.yaml has other, small"):
        chosen_recipe("spheres", path)
    with pytest.raises(ConfigError):
        chosen_recipe("small", tmp_path / "none.yaml")
    with pytest.raises(InputError, match=r"--recipe sphere: .*rounded_box, spheres"):
        chosen_recipe("sphere", None)
    with pytest.raises(InputError, match="--config"):
        chosen_recipe("custom", None)


def test_a_fault_on_the_way_leaves_nothing_behind(tmp_path):
    """Rejected draws are counted and reported; no partial folder is left."""
    path = write(tmp_path, head(1, 3.0))
    config = config_with(tmp_path, implant_ml=[190, 191], attempts=3)
    with pytest.raises(BudgetError, match="none of 3 draws"):
        inject_skull(path, "small", 2, 0, tmp_path / "cases", config)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "skull.nii.gz"]


def test_draws_of_the_own_grid_are_bounded_and_go_on(tmp_path, monkeypatch):
    """A case that fails only on the native grid is redrawn with the next attempt's generator."""
    asked = []
    generator = seeds.generator
    monkeypatch.setattr(seeds, "generator", lambda *keys: asked.append(keys[-1]) or generator(*keys))
    faults = iter(["implant empty", None])
    monkeypatch.setattr(module, "check_case", lambda *_: next(faults))
    inject_skull(write(tmp_path, head(1, 3.0)), "spheres", 1, 3, tmp_path / "cases", None)
    assert asked == list(range(len(asked)))
    assert rows(tmp_path / "cases")[0]["attempt"] == asked[-1] >= 1
    monkeypatch.setattr(module, "check_case", lambda *_: "implant empty")
    config = config_with(tmp_path, attempts=3)
    with pytest.raises(BudgetError, match="native grid"):
        inject_skull(tmp_path / "skull.nii.gz", "small", 1, 3, tmp_path / "more", config)
    assert not (tmp_path / "more").exists()


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "calvaria.cli", "inject", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "got neither"),
        (["skull.nii", "--run", "results"], "--run together with SKULL"),
        (["--run", "results", "--cohort", "test", "--seed", "0"], "--run --cohort together with --seed"),
        (["skull.nii", "--recipe", "spheres"], "expected SKULL, --recipe and --out; got SKULL --recipe"),
        (["--run", "results"], "expected both --run and --cohort"),
    ],
)
def test_both_forms_at_once_and_neither_are_errors(arguments, words):
    """The options distinguish Snakemake's form from that for one skull."""
    done = run(*arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.real
def test_a_native_skull_gets_a_defect_on_its_own_grid(real_skulls, tmp_path):
    """The published scan is anisotropic and oblique, with 512 x 512 x 237 voxels."""
    path = real_skulls.parent / "skullfix_native" / "training_set" / "complete_skull" / "000.nrrd"
    if not path.is_file():
        pytest.skip(f"no native skull at {path}; set CALVARIA_REAL_DATA")
    assert run(path, "--recipe", "rounded_box", "--seed", 2, "--out", tmp_path / "cases").returncode == 0
    skull, case = read_labels(path), read_labels(tmp_path / "cases" / "000.nii.gz")
    assert np.array_equal(skull.values > 0, case.values > 0)
    assert np.allclose(skull.affine, case.affine, rtol=0, atol=1e-4)
    assert (case.values == IMPLANT).any()
    assert (case.values == BONE).any()
