"""Ingest gives verdicts, a contact sheet and the inverse transform for every source, despite bad files."""

from pathlib import Path

import numpy as np
import pytest

from calvaria.config import Config, parse
from calvaria.geometry.grid import IMPLANT
from calvaria.geometry.resample import restore
from calvaria.skull.quality import Finding
from calvaria.sources import Entry, Scan
from calvaria.stages.ingest import _row, ingest
from calvaria.stages.people import people
from calvaria.stages.sheet import sheet
from calvaria.stages.split import split
from calvaria.storage.paths import Run
from calvaria.storage.rows import IngestRow
from calvaria.storage.store import read_json
from tests.unit.builders import write_nifti, write_nrrd, write_series
from tests.unit.heads import head, with_hole
from tests.unit.test_mug500 import surface
from tests.unit.test_report import a_config

PARTS = ("complete_skull", "defective_skull", "implant")


def write_triplet(scan: Scan, paths: tuple[Path, Path, Path]) -> None:
    masks = (scan.labels > 0, scan.labels == 1, scan.labels == IMPLANT)
    for path, mask in zip(paths, masks, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_nrrd(path, mask.astype(np.int32), scan.affine)


def hounsfield(scan: Scan) -> np.ndarray:
    """Return an (i, j, k) int16 CT of a head of soft tissue around the bone, in air."""
    from scipy.ndimage import binary_closing

    head_ = np.pad(scan.labels > 0, 16)
    tissue = binary_closing(head_, iterations=14) | head_
    return np.where(np.pad(scan.labels > 0, 16), 900, np.where(tissue, 40, -1000)).astype(np.int16)


def padded(affine: np.ndarray) -> np.ndarray:
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, :3] @ np.full(3, 16.0)
    return moved


def write_sources(root: Path) -> dict:
    """Write nine people in the layouts of all sources, three defects of one, and two broken files."""
    for number in (0, 1):
        names = tuple(root / "fix" / "training_set" / part / f"00{number}.nrrd" for part in PARTS)
        write_triplet(with_hole(head(number), 35, IMPLANT), names)
    for kind, radius in (("bilateral", 30), ("random_1", 40)):
        implant = with_hole(head(2), radius, IMPLANT)
        names = (
            root / "break" / "complete_skull" / "000.nrrd",
            *(root / "break" / part / kind / "000.nrrd" for part in PARTS[1:]),
        )
        write_triplet(implant, names)
    healthy, operated = root / "mug" / "A0001", root / "mug" / "B0001"
    for folder in (healthy, operated):
        folder.mkdir(parents=True)
    write_nrrd(healthy / "A0001.nrrd", (head(3).labels > 0).astype(np.uint8), head(3).affine)
    case = with_hole(head(4), 35, IMPLANT)
    write_nrrd(operated / "B0001.nrrd", (case.labels == 1).astype(np.uint8), case.affine)
    for name, mask in (("B0001", case.labels == 1), ("B0001_implant", case.labels == IMPLANT)):
        mesh = surface(mask)
        mesh.apply_transform(np.diag([-1.0, -1, 1, 1]) @ case.affine)
        mesh.export(operated / f"{name}.stl")
    ct = head(5)
    (root / "ct").mkdir()
    write_nifti(root / "ct" / "whole.nii.gz", hounsfield(ct), padded(ct.affine))
    series = hounsfield(with_hole(head(6), 25))
    write_series(root / "ct" / "operated", series[::-1, ::-1], step=(0, 0, 2.0), spacing=(2.0, 2.0))
    (root / "own").mkdir()
    write_nifti(root / "own" / "p7_first.nii.gz", head(7).labels, head(7).affine)
    write_nifti(root / "own" / "p7_second.nii.gz", head(7).labels, head(7).affine)
    for name in ("p8_topless", "p9_topless"):  # without the top of the head
        topless = head(8).labels[:, :, :-12]
        write_nifti(root / "own" / f"{name}.nii.gz", topless, head(8).affine)
    (root / "own" / "cut.nrrd").write_bytes(
        (root / "fix" / "training_set" / "implant" / "000.nrrd").read_bytes()[:-200]
    )
    (root / "own" / "all.zip").write_bytes(b"PK")
    return {
        "fix": {"kind": "skullfix", "path": str(root / "fix")},
        "break": {"kind": "skullbreak", "path": str(root / "break")},
        "mug": {"kind": "mug500", "path": str(root / "mug")},
        "clinic": {"kind": "ct", "path": str(root / "ct")},
        "own": {"kind": "folder", "path": str(root / "own"), "person": r"([a-z0-9]+)"},
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Run, Config]:
    root = tmp_path_factory.mktemp("ingest")
    raw = a_config().model_dump(mode="json")
    raw["grid"] = {"shape": [48, 56, 48], "spacing_mm": 3.75}
    raw["ingest"] = {
        "sources": write_sources(root / "data"),
        "shard_size": 7,
        "accept": ["none/*", "own/p9*"],
    }
    config, run = parse(raw, "test"), Run(root / "run")
    for shard in (0, 1):
        ingest(run, config, shard)
        sheet(run, config, shard)
    people(run, config)
    split(run, config)
    return run, config


@pytest.fixture(scope="module")
def rows(done) -> dict[str, IngestRow]:
    return {row["id"]: row for row in done[0].ingest.rows()}


def test_every_skull_has_its_verdict(rows):
    verdicts = {name: row["verdict"] for name, row in rows.items()}
    bad = {name: verdict for name, verdict in verdicts.items() if verdict != "ok"}
    assert bad.pop("clinic/operated") == "defective"
    assert bad.pop("own/p8_topless") == bad.pop("own/p9_topless") == "doubtful"
    assert set(bad.values()) == {"unreadable"}
    assert len(bad) == 2
    assert len(verdicts) == 14


def test_a_doubtful_skull_is_used_if_it_is_accepted_by_name(done, rows):
    """The row has the pattern, and the doubts as its reason; the other doubtful skull is left out."""
    for name in ("own/p8_topless", "own/p9_topless"):
        assert rows[name]["reason"].startswith("vault cut off: ")
    assert "accepted_by" not in rows["own/p8_topless"]
    assert rows["own/p9_topless"]["accepted_by"] == "own/p9*"
    person = read_json(done[0].people)["person"]
    assert "own/p9_topless" in person
    assert "own/p8_topless" not in person


def test_what_is_left_out_and_what_is_accepted_by_name_is_logged(done, caplog, tmp_path):
    ingest(Run(tmp_path), done[1], 1)
    assert "ingest: LEFT OUT own/p8_topless: doubtful: vault cut off: " in caplog.text
    assert "ingest: accepted by name own/p9_topless: doubtful: vault cut off: " in caplog.text


def test_an_id_with_signs_of_patterns_stands_for_itself():
    doubt = Finding("doubt", "size", "large")
    row = _row(Entry("own/a[1]", "a"), None, [doubt, doubt], ["own/a[1]"])
    assert row["accepted_by"] == "own/a[1]"
    assert row["reason"] == "size: large. size: large"
    fault = Finding("fault", "defective", "it has a hole")
    assert "accepted_by" not in _row(Entry("own/a", "a"), fault, [doubt], ["*"]), "faults are not doubts"


def test_a_bad_file_is_named_with_what_to_do(rows):
    (cut,) = (row for name, row in rows.items() if "cut" in name)
    (archive,) = (row for name, row in rows.items() if "zip" in name)
    assert "own/cut.nrrd: " in cut["reason"]
    assert ";" in cut["reason"]
    assert "archive" in archive["reason"]


def test_what_cannot_be_read_is_an_empty_volume_and_the_rest_is_not(done, rows):
    for row, labels in zip(rows.values(), done[0].ingest.volumes(list(rows.values())), strict=True):
        assert labels.any() == (row["verdict"] != "unreadable")
        assert (labels == IMPLANT).any() == row["id"].startswith(("fix/", "break/", "mug/B"))


def test_people_are_known_by_name_and_by_content(done):
    person = read_json(done[0].people)["person"]
    assert person["break/000-bilateral"] == person["break/000-random_1"]
    assert person["own/p7_first"] == person["own/p7_second"]
    assert len(set(person.values())) == 8


def test_families_learn_each_skull_once(done):
    from calvaria.storage.cohorts import training_population

    population = training_population(done[0])
    assert len({mask.tobytes() for mask in population.masks}) == len(population)


def test_every_skull_can_be_put_back_onto_its_scan(done, rows):
    run, config = done
    row = rows["fix/001"]
    labels = run.ingest.volume(row)
    affine, pose = np.array(row["scan"]["affine"]), np.array(row["pose"])
    back = restore(labels, config.grid.voxels(), affine, pose, tuple(row["scan"]["shape"]))
    truth = head(1).labels > 0
    assert back.shape == truth.shape
    assert 2 * np.count_nonzero(back & truth) / (np.count_nonzero(back) + np.count_nonzero(truth)) > 0.8


def test_the_contact_sheets_are_pictures(done):
    from PIL import Image

    for shard in (0, 1):
        with Image.open(done[0].sheet(shard)) as picture:
            assert np.ptp(np.asarray(picture)) > 100


def test_the_same_files_give_the_same_bytes(done, tmp_path):
    run, config = done
    again = Run(tmp_path)
    ingest(again, config, 1)
    assert again.ingest.shard(1).read_bytes() == run.ingest.shard(1).read_bytes()
    assert again.vaults(1).read_bytes() == run.vaults(1).read_bytes()
    assert again.ingest.table(1).read_bytes() == run.ingest.table(1).read_bytes()
