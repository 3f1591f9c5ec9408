"""`calvaria extract` writes volumes with the geometry that nibabel and ITK both read."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from calvaria import cli
from calvaria.config import dump, parse
from calvaria.errors import InputError
from calvaria.geometry.grid import Grid
from calvaria.geometry.resample import resample
from calvaria.sources.volumes import read_volume
from calvaria.storage.extract import View, extract
from calvaria.storage.packed import write_packed
from calvaria.storage.paths import Run
from calvaria.storage.store import write_atomically, write_shard
from tests.unit.heads import turn

GRID = Grid((24, 32, 24), 4.0)
CONFIG = {
    "name": "small",
    "ingest": {"sources": {"phantom": {"kind": "phantom", "count": 4}}},
    "fit": {"real": {"kind": "real"}, "drawn": {"kind": "wgan", "optimiser": {"steps": 2}}},
    "inject": {"recipes": {"spheres": {"kind": "spheres"}}},
    "train": {"arms": {"plain": {"families": {"real": 1}}}, "optimiser": {"steps": 2}},
}
SHAPE = (30, 36, 20)
CENTRE = np.array([30.0, -20.0, 100.0])  # of the scan, in its millimetres


def rigid(matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return np.vstack([np.column_stack([matrix, shift]), [0, 0, 0, 1]])


STEPS = turn(9, -6, 14) @ np.diag([-3.0, 3.5, 5.0])  # oblique, unequal, the first axis to the left
AFFINE = rigid(STEPS, CENTRE - STEPS @ [14.5, 17.5, 9.5])
POSE = rigid(turn(4, 3, -8), -turn(4, 3, -8) @ CENTRE)


def scanned() -> np.ndarray:
    """Return (i, j, k) labels of a bone box with an implant at one corner; all sides differ."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[6:24, 9:30, 5:15] = 1
    labels[18:24, 22:30, 5:15] = 2
    return labels


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """Three scans, two of them empty; a test case and its prediction; a real and a synthetic case."""
    run = Run(tmp_path_factory.mktemp("results") / "small")
    write_atomically(run.config, dump(parse(CONFIG, "test")))
    labels = resample(scanned(), AFFINE, POSE, GRID)
    scan = {"scan": {"shape": SHAPE, "affine": AFFINE.tolist()}, "pose": POSE.tolist()}
    failed = {"id": "b", "scan": scan["scan"], "reason": "no head"}
    unreadable = {"id": "c", "reason": "no such file"}
    volumes = np.stack([labels, np.zeros_like(labels), np.zeros_like(labels)])
    write_shard(run.ingest, 0, 3, 3, GRID, volumes, [{"id": "a", "reason": None, **scan}, failed, unreadable])
    for cohort in ("test", "real", "drawn"):
        write_shard(run.inject(cohort), 0, 1, 1, GRID, labels[None], [{"cohort": cohort, "parents": ["a"]}])
    write_shard(run.evaluate("plain"), 0, 1, 1, GRID, labels[None], [{"case": 0, "seed": 0}])
    return run


def case_of(run: Run) -> np.ndarray:
    """Return the (x, y, z) uint8 labels of the test case."""
    store = run.inject("test")
    return store.volume(store.rows()[0])


def itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (i, j, k) values and affine to RAS+ millimetres read by ITK, as in Slicer and ITK-SNAP."""
    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image).T, np.diag([-1.0, -1, 1, 1]) @ affine


@pytest.mark.parametrize("scan", [False, True], ids=["grid", "scan"])
def test_nibabel_itk_and_calvaria_read_the_same_world(run, tmp_path, scan):
    affine = AFFINE if scan else GRID.affine
    shown = {}
    for ending in (".nii.gz", ".nii", ".nrrd", ".seg.nrrd"):
        path = tmp_path / f"case{ending}"
        extract(run.inject("test").path, 0, path, View.CASE, scan)
        for values, found in (itk(path), (read_volume(path).values, read_volume(path).affine)):
            assert found == pytest.approx(affine, abs=1e-4)
            assert np.array_equal(values, shown.setdefault("labels", values))
    image = nibabel.load(tmp_path / "case.nii.gz")
    assert np.array_equal(image.dataobj, shown["labels"])
    assert image.get_data_dtype() == np.uint8
    assert image.header.get_xyzt_units()[0] == "mm"
    for found, code in (image.get_sform(coded=True), image.get_qform(coded=True)):
        assert found == pytest.approx(affine, abs=1e-4)
        assert code == (1 if scan else 2)  # scanner, or aligned
    if scan:
        assert np.count_nonzero(shown["labels"] != scanned()) < 0.12 * np.count_nonzero(scanned())
    else:
        assert np.array_equal(shown["labels"], case_of(run))


def test_views_are_parts_of_the_case_and_slicer_is_told_their_names(run, tmp_path):
    case = case_of(run)
    for view, expected in (("skull", case > 0), ("defective", case == 1), ("implant", case == 2)):
        path = tmp_path / f"{view}.seg.nrrd"
        extract(run.inject("test").path, 0, path, View(view), False)
        assert np.array_equal(itk(path)[0], expected)
    path = tmp_path / "case.seg.nrrd"
    extract(run.inject("test").path, 0, path, View.CASE, False)
    image = SimpleITK.ReadImage(str(path))
    names = [
        (image.GetMetaData(f"Segment{n}_LabelValue"), image.GetMetaData(f"Segment{n}_Name")) for n in (0, 1)
    ]
    assert names == [("1", "Remaining bone"), ("2", "Implant")]
    content = path.read_bytes()
    path.unlink()
    extract(run.inject("test").path, 0, path, View.CASE, False)
    assert path.read_bytes() == content


def test_what_came_from_a_scan_goes_back_onto_it_and_nothing_else_does(run, tmp_path):
    out = tmp_path / "x.nii.gz"
    files = []
    for store in (run.ingest, run.inject("test"), run.inject("real"), run.evaluate("plain")):
        extract(store.path, 0, out, View.CASE, True)
        files.append(out.read_bytes())
        out.unlink()
    assert len(set(files)) == 1
    with pytest.raises(InputError, match="volume 0 is of the family drawn, it has no scan; leave --scan out"):
        extract(run.inject("drawn").path, 0, out, View.CASE, True)
    for number, reason in ((1, "no head"), (2, "no such file")):
        with pytest.raises(InputError, match=f"volume {number} is empty: {reason}"):
            extract(run.ingest.path, number, out, View.CASE, True)
    assert not out.exists()


def test_a_published_volume_is_the_same(run, tmp_path):
    store = run.inject("drawn")
    rows = store.rows()
    path = write_packed(tmp_path / "p.zarr", store.volumes(rows), rows, 1, GRID, cases=True).path
    assert extract(store.path, 0, tmp_path / "a.nii.gz", View.CASE, False) == GRID.shape
    extract(path, 0, tmp_path / "b.nii.gz", View.CASE, False)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    with pytest.raises(InputError, match="was published without its scan; leave --scan out"):
        extract(path, 0, tmp_path / "c.nii.gz", View.CASE, True)


def test_a_wrong_index_or_name_is_one_message(run, tmp_path, monkeypatch, capsys):
    store = str(run.inject("test").path)

    def call(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["calvaria", "extract", store, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0)

    assert call(1, "--out", tmp_path / "x.nii") == 1
    assert "has no volume 1; it has 1" in capsys.readouterr().err
    assert call(0, "--out", tmp_path / "x.mha") == 1
    assert "expected one of the extensions .nii.gz, .nii, .seg.nrrd, .nrrd" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert call(0, "--out", tmp_path / "file" / "x.nii") == 1
    assert "x.nii: cannot be written" in capsys.readouterr().err
    assert call(0, "--view", "implant", "--out", tmp_path / "x.nii") == 0
    assert nibabel.load(tmp_path / "x.nii").get_fdata().sum() == np.count_nonzero(case_of(run) == 2)
