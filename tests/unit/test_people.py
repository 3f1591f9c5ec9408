"""Scans of one person are identified by content, and no person is in two cohorts."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from calvaria.config import Config, Split
from calvaria.errors import InputError
from calvaria.geometry.grid import Grid
from calvaria.geometry.resample import resample
from calvaria.skull.matching import match, mirror, shape
from calvaria.skull.pose import find_pose
from calvaria.skull.vault_map import VaultPicture, picture_vault
from calvaria.sources import Scan
from calvaria.stages.people import compare, group, people
from calvaria.stages.split import split
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json, write_shard
from calvaria.storage.tensors import write_tensors
from tests.unit.heads import head, moved, turn
from tests.unit.test_report import a_config

SAME_MM = 0.55  # the default of people.same_mm


def vault(scan: Scan) -> VaultPicture:
    pose = find_pose(scan.labels, scan.affine)
    return picture_vault(scan.labels, scan.affine, pose.to_box(np.zeros(3)))


@cache
def vault_of(number: int) -> VaultPicture:
    return vault(head(number))


def distance(first: Scan, second: Scan) -> tuple[float, bool]:
    found = match(shape(vault(first)), shape(vault(second)), shape(mirror(vault(second))))
    return found.distance_mm, found.mirrored


def resampled(scan: Scan, spacing_mm: float) -> Scan:
    grid = Grid(tuple(round(260 / spacing_mm) for _ in range(3)), spacing_mm)
    pose = np.eye(4)
    pose[:3, :3] = turn(7, 3, -6)
    pose[:3, 3] = (0, 0, -25)
    return Scan(resample(scan.labels, scan.affine, pose, grid), grid.affine)


def cut(scan: Scan) -> Scan:
    labels = scan.labels.copy()
    labels[:, :, : labels.shape[2] // 4] = 0
    return replace(scan, labels=labels)


def thicker(scan: Scan) -> Scan:
    """Simulate a lower segmentation threshold: half a millimetre more bone on every side."""
    fine = resampled(scan, 1.0)
    return replace(fine, labels=(binary_dilation(fine.labels > 0) | (fine.labels > 0)).astype(np.uint8))


@pytest.mark.parametrize(
    "again",
    [
        lambda scan: scan,
        lambda scan: moved(scan, turn(10, -4, 8), (50, -120, 33)),
        lambda scan: resampled(scan, 1.6),
        lambda scan: resampled(scan, 2.6),
        cut,
        thicker,
    ],
    ids=["identical", "moved", "resampled finer", "resampled coarser", "narrower field of view", "thicker"],
)
def test_another_scan_of_one_head_is_recognised(again):
    found, mirrored = distance(head(0, 1.5), again(head(0, 1.5)))
    assert found < SAME_MM
    assert not mirrored


def test_a_mirrored_copy_is_recognised():
    found, mirrored = distance(head(0), replace(head(0), labels=head(0).labels[::-1]))
    assert found < SAME_MM
    assert mirrored


def test_different_heads_are_told_apart():
    shapes = [(shape(vault_of(n)), shape(mirror(vault_of(n)))) for n in range(5)]
    for b in range(5):
        for a in range(b):
            assert match(shapes[a][0], shapes[b][0], shapes[b][1]).distance_mm > 1.3 * SAME_MM


def test_names_and_content_are_joined_into_groups():
    """A chain of a name and two pairs is one person, identified by the first name."""
    names = ["a", "b", "c", "d", "b", "e"]
    assert group(names, [(0, 4), (3, 2)]) == ["a", "a", "c", "c", "a", "e"]
    assert group(names, []) == ["a", "b", "c", "d", "b", "e"]


def ingested(root, config: Config, vaults: list[VaultPicture], verdicts: list[str]) -> Run:
    """Write a run with ingested skulls, one file per person."""
    run = Run(root)
    grid = config.grid.voxels()
    rows, pictures = [], []
    volumes = np.zeros((len(vaults), *grid.shape), np.uint8)
    for number, (found, verdict) in enumerate(zip(vaults, verdicts, strict=True)):
        volumes[number, 3:9, 3:9, 3:9] = 1 + number % 2
        pictures.append(np.stack([found.inner_mm, found.outer_mm, found.exit_mm]))
        name = f"set/{number:03d}"
        reason = None if verdict == "ok" else "its vault has a hole"
        rows.append({"id": name, "person": name, "verdict": verdict, "reason": reason})
    size = config.ingest.shard_size
    for shard in range(-(-len(rows) // size)):
        part = slice(shard * size, (shard + 1) * size)
        write_shard(run.ingest, shard, len(rows), size, grid, volumes[part], rows[part])
        write_tensors(run.vaults(shard), {"vaults": np.stack(pictures[part])})
    return run


def config(**ingest) -> Config:
    from calvaria.config import parse

    raw = a_config().model_dump(mode="json")
    raw["ingest"] |= {"shard_size": 4, **ingest}
    return parse(raw, "test")


def test_repeats_stay_in_one_cohort(tmp_path):
    """Ten files of eight people include a copy and a second, mirrored scan."""
    settings = config()
    again = moved(replace(head(5), labels=head(5).labels[::-1]), turn(4, 0, 2))
    vaults = [*(vault_of(n) for n in range(8)), vault_of(2), vault(again)]
    run = ingested(tmp_path, settings, vaults, ["ok"] * 10)
    people(run, settings)
    found = read_json(run.people)
    assert found["person"]["set/008"] == "set/002"
    assert found["person"]["set/009"] == "set/005"
    assert len(set(found["person"].values())) == 8
    assert found["farthest_same_mm"] < SAME_MM < found["closest_different_mm"]
    assert [pair["mirrored"] for pair in found["pairs"][:2]] == [False, True]
    split(run, settings)
    cohorts = read_json(run.split)
    members = {name: {row["person"] for row in rows} for name, rows in cohorts.items()}
    assert sum(len(rows) for rows in cohorts.values()) == 10
    assert not members["training"] & members["test"]
    assert not members["training"] & members["validation"]
    assert not members["validation"] & members["test"]


@pytest.mark.parametrize("folds", [2, 3, 5, 8])
def test_every_person_is_tested_in_one_fold(tmp_path, folds):
    settings = config()
    run = ingested(tmp_path, settings, [*(vault_of(n) for n in range(8)), vault_of(2)], ["ok"] * 9)
    people(run, settings)
    tested = []
    for fold in range(folds):
        split(run, settings.model_copy(update={"split": Split(folds=folds, fold=fold)}))
        cohorts = read_json(run.split)
        members = {name: {row["person"] for row in rows} for name, rows in cohorts.items()}
        assert sum(map(len, members.values())) == 8, "a person is in several cohorts"
        assert sum(map(len, cohorts.values())) == 9
        assert all(members.values())
        tested += members["test"]
    assert sorted(tested) == sorted(set(read_json(run.people)["person"].values()))


def test_more_folds_than_people_are_refused(tmp_path):
    settings = config()
    run = ingested(tmp_path, settings, [vault_of(n) for n in range(5)], ["ok"] * 5)
    people(run, settings)
    with pytest.raises(InputError, match=r"5 usable person\(s\) after ingest, expected at least 6"):
        split(run, settings.model_copy(update={"split": Split(folds=6)}))


def test_what_failed_a_check_is_in_no_cohort_and_strict_names_all(tmp_path):
    verdicts = ["ok", "defective", "ok", "ok", "ok", "not a skull"]
    settings = config()
    run = ingested(tmp_path, settings, [vault_of(n) for n in range(6)], verdicts)
    people(run, settings)
    split(run, settings)
    used = {row["id"] for rows in read_json(run.split).values() for row in rows}
    assert used == {"set/000", "set/002", "set/003", "set/004"}
    with pytest.raises(InputError, match=r"2 of 6 skulls failed .*(?s:.*)set/001: defective.*(?s:.*)set/005"):
        people(run, config(strict=True))


def test_a_doubtful_skull_is_left_out_with_a_word_about_accepting_it(tmp_path, caplog):
    settings = config()
    run = ingested(tmp_path, settings, [vault_of(n) for n in range(5)], ["ok"] * 4 + ["doubtful"])
    people(run, settings)
    assert len(read_json(run.people)["person"]) == 4
    assert 'ingest.accept: ["set/004"]' in caplog.text


def test_too_few_people_are_refused(tmp_path):
    settings = config()
    run = ingested(tmp_path, settings, [vault_of(n) for n in (0, 1, 2, 0)], ["ok"] * 4)
    people(run, settings)
    with pytest.raises(InputError, match=r"3 usable person\(s\)"):
        split(run, settings)


def test_cases_of_one_skull_are_compared_once():
    """The input is five defects of one skull, as in SkullBreak, and another person."""
    a, b = vault_of(0), vault_of(1)
    rows = [{"person": "p"}] * 5 + [{"person": "q"}]
    assert len(compare(rows, [a] * 5 + [b])) == 1


@pytest.mark.real
def test_the_repeats_among_the_real_skulls(real_skulls):
    """000 and 052 are identical, 011 and 042 two scans of one head, 084 and 091 the most similar people."""
    from calvaria.sources import catalogue, read
    from calvaria.sources.folder import FolderSource

    sources = {"skullfix": FolderSource(kind="folder", path=real_skulls)}
    entries = {entry.own_id: entry for entry in catalogue(sources)}
    scans = {name: read(sources, entries[name], 0) for name in ("000", "052", "011", "042", "084", "091")}
    assert distance(scans["000"], scans["052"])[0] == 0
    assert distance(scans["011"], scans["042"])[0] < 0.25
    assert distance(scans["084"], scans["091"])[0] > 0.6
