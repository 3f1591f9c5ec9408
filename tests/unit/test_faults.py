"""Damaged files and full or read-only disks never cause a wrong result, silence or a partial file."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from calvaria.errors import CalvariaError, StoreError
from calvaria.geometry.grid import Grid
from calvaria.storage.store import (
    ABANDONED_S,
    PARTIAL,
    Store,
    clear_partial,
    read_json,
    read_rows,
    write_json,
    write_rows,
    write_shard,
)
from calvaria.storage.tensors import read_tensor, read_tensors, write_tensors
from calvaria.training import checkpoint
from calvaria.training.checkpoint import TrainingState

GRID = Grid((8, 16, 8), 2.0)
WEIGHTS = {"a": np.linspace(-1, 1, 60, dtype=np.float32).reshape(3, 4, 5), "b": np.arange(7, dtype=np.int64)}


def a_store(where: Path) -> Store:
    store = Store(where / "s.zarr")
    volumes = np.random.default_rng(0).integers(0, 3, (4, *GRID.shape), np.uint8)
    for shard in range(2):
        part = volumes[2 * shard : 2 * shard + 2]
        write_shard(store, shard, 4, 2, GRID, part, [{"id": f"{shard}-{n}"} for n in range(2)])
    return store


def damages(content: bytes, count: int = 60) -> Iterator[tuple[str, bytes]]:
    """Yield a file with one bit flipped at places all along the file, and truncated to some lengths."""
    for place in np.linspace(0, len(content) - 1, count).astype(int):
        yield f"byte {place}", content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]
    for share in (0, 0.01, 0.5, 0.99):
        yield f"cut to {share}", content[: int(share * len(content))]


def seen(path: Path, read: Callable[[], object], right: Callable[[object], bool]) -> int:
    """Return how many damages are reported with the file's name; the others must not change the result."""
    content, said = path.read_bytes(), list[str]()
    for what, damaged in damages(content):
        path.write_bytes(damaged)
        try:
            assert right(read()), f"{what} gave something else"
        except StoreError as error:
            said.append(str(error))
    path.write_bytes(content)
    assert right(read())
    assert all(str(path) in one and "run again" in one for one in said)
    return len(said)


def test_a_damaged_shard_is_never_read_as_something_else(tmp_path):
    store = a_store(tmp_path)
    expected = np.stack(list(store.volumes(store.rows())))

    def right(found: object) -> bool:
        return np.array_equal(np.stack(found), expected)  # type: ignore[call-overload]

    assert seen(store.shard(1), lambda: list(store.volumes(store.rows())), right) > 55


@pytest.mark.parametrize("lost", ["shard", "table", "zarr.json"])
def test_a_lost_file_of_a_store_is_named(tmp_path, lost):
    """Zarr reads a missing shard as zeros."""
    store = a_store(tmp_path)
    rows = store.rows()
    path = {"shard": store.shard(1), "table": store.table(1), "zarr.json": store.path / "labels/zarr.json"}[
        lost
    ]
    path.unlink()
    with pytest.raises(StoreError, match=r"s\.zarr.*run"):
        list(store.volumes(store.rows() if lost == "table" else rows))
    if lost == "shard":
        with pytest.raises(StoreError, match=rf"{store.shard(1)} is missing"):
            store.volume(rows[2])


def test_damaged_metadata_of_a_store_is_never_read_as_something_else(tmp_path):
    store = a_store(tmp_path)
    rows = store.rows()
    expected = np.stack(list(store.volumes(rows)))

    def right(found: object) -> bool:
        return np.array_equal(np.stack(found), expected)  # type: ignore[call-overload]

    path, count = store.path / "labels" / "zarr.json", 0
    content = path.read_bytes()
    for what, damaged in damages(content):
        path.write_bytes(damaged)
        try:
            assert right(list(store.volumes(rows))), what
        except StoreError:
            count += 1
    assert count > 20


def test_damaged_weights_are_never_read_as_other_weights(tmp_path):
    path = tmp_path / "model.safetensors"
    write_tensors(path, WEIGHTS)

    def right(found: object) -> bool:
        assert isinstance(found, dict)
        return found.keys() == WEIGHTS.keys() and all(np.array_equal(found[k], WEIGHTS[k]) for k in WEIGHTS)

    assert seen(path, lambda: read_tensors(path), right) > 55
    assert seen(path, lambda: {name: read_tensor(path, name) for name in WEIGHTS}, right) > 50


def test_a_damaged_checkpoint_is_never_gone_on_from(tmp_path, caplog):
    """The training starts from scratch, with a warning."""
    path, tensors = (
        tmp_path / "checkpoint.safetensors",
        {"w": torch.linspace(0, 1, 99), "n": torch.tensor(3.0)},
    )
    checkpoint.save(path, TrainingState("key", step=5), tensors)
    content, ignored = path.read_bytes(), 0
    for what, damaged in damages(content):
        path.write_bytes(damaged)
        found = checkpoint.load(path, "key")
        if found is None:
            ignored += 1
            assert f"{path}: " in caplog.text
            caplog.clear()
        else:
            assert found[0] == TrainingState("key", step=5), what
            assert all(torch.equal(found[1][name], tensors[name]) for name in tensors), what
    assert ignored > 55
    assert checkpoint.load(tmp_path / "absent", "key") is None
    assert caplog.text == ""


def tmpfs(where: Path, options: str) -> bool:
    """Mount a file system in memory, which only root may."""
    arguments = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)]
    return os.geteuid() == 0 and subprocess.run(arguments, capture_output=True, check=False).returncode == 0


@contextmanager
def full_disk(where: Path) -> Iterator[Path]:
    disk = where / "disk"
    disk.mkdir()
    if not tmpfs(disk, "size=128k"):
        pytest.skip("only root can mount a small tmpfs")
    (disk / "other").write_bytes(bytes(96 << 10))
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@contextmanager
def limited_files(where: Path) -> Iterator[Path]:
    """Limit the size of files to some kB, which needs no permissions."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10, before[1]))
    try:
        yield where
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def read_only(where: Path) -> Iterator[Path]:
    """Make a folder read-only, as root by a mount since permissions do not restrict root."""
    disk = where / "disk"
    disk.mkdir()
    mounted = tmpfs(disk, "size=128k")
    if mounted:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    elif os.geteuid() == 0:
        pytest.skip("root may write anywhere, and may mount nothing here")
    else:
        disk.chmod(0o555)
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True) if mounted else disk.chmod(0o755)


WRITES: dict[str, Callable[[Path], object]] = {
    "shard": lambda where: write_shard(
        Store(where / "s.zarr"),
        0,
        200,
        200,
        GRID,
        np.random.default_rng(0).integers(0, 3, (200, *GRID.shape), np.uint8),
        [{} for _ in range(200)],
    ),
    "weights": lambda where: write_tensors(where / "w", {"w": np.random.default_rng(0).random(9000)}),
    "checkpoint": lambda where: checkpoint.save(where / "c", TrainingState("k"), {"w": torch.rand(18000)}),
    "table": lambda where: write_rows(where / "rows" / "0.jsonl", [{"id": "x" * 72000}]),
    "record": lambda where: write_json(where / "fit.json", {"id": "x" * 72000}),
}
TROUBLE = {
    full_disk: "No space left on device",
    limited_files: "File too large",
    read_only: "Read-only file system|Permission denied",
}


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda trouble: trouble.__name__)
def test_what_cannot_be_written_is_said_and_leaves_nothing_behind(tmp_path, trouble, what):
    with trouble(tmp_path) as where:
        with pytest.raises(CalvariaError, match=rf"cannot be written \(({TROUBLE[trouble]})\).*run again"):
            WRITES[what](where)
        left = [path for path in where.rglob("*") if path.is_file()]
        assert {path.name for path in left} <= {"other", "zarr.json"}  # metadata is small


def test_truncated_tables_and_records_are_named(tmp_path):
    write_rows(tmp_path / "0.jsonl", [{"index": 0, "id": "a"}])
    write_json(tmp_path / "fit.json", {"id": "a"})
    for path, read in ((tmp_path / "0.jsonl", read_rows), (tmp_path / "fit.json", read_json)):
        path.write_bytes(path.read_bytes()[:-6])
        with pytest.raises(StoreError, match=rf"{path}: damaged.*delete it and run again"):
            read(path)


def test_what_killed_jobs_left_is_cleared_away(tmp_path):
    old, new, mine = (tmp_path / "fit" / name for name in (f".a.1{PARTIAL}", f".b.2{PARTIAL}", "a.partial"))
    old.parent.mkdir()
    for path in (old, new, mine):
        path.write_bytes(b"x")
    for path in (old, mine):
        os.utime(path, (0, path.stat().st_mtime - 2 * ABANDONED_S))
    clear_partial(tmp_path)
    assert (old.exists(), new.exists(), mine.exists()) == (False, True, True)
