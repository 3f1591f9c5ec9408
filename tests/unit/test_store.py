"""The store: volumes are read back unchanged, damage is detected, and bytes are reproducible."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from calvaria.errors import StoreError
from calvaria.geometry.grid import Grid
from calvaria.storage.store import Store, digest, read_rows, write_atomically, write_rows, write_shard
from calvaria.storage.tensors import read_about, read_tensor, read_tensors, write_tensors

GRID = Grid((8, 16, 8), 2.0)


def volumes(count: int) -> np.ndarray:
    pattern = np.arange(count * 8 * 16 * 8, dtype=np.uint32) * 2654435761 >> 28
    return (pattern % 3).astype(np.uint8).reshape(count, 8, 16, 8)


def written(tmp_path: Path, order: tuple[int, ...] = (0, 1), name: str = "s.zarr") -> Store:
    store, made = Store(tmp_path / name), volumes(5)
    for shard in order:
        part = made[shard * 3 : shard * 3 + 3]
        write_shard(store, shard, 5, 3, GRID, part, [{"id": f"{shard}-{i}"} for i in range(len(part))])
    return store


def tree(path: Path) -> dict[str, str]:
    return {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def test_volumes_and_rows_come_back(tmp_path):
    store = written(tmp_path)
    rows = store.rows()
    assert [row["id"] for row in rows] == ["0-0", "0-1", "0-2", "1-0", "1-1"]
    assert len(store) == 5
    for volume, expected in zip(store.volumes(rows), volumes(5), strict=True):
        assert np.array_equal(volume, expected)


def test_the_shard_file_is_where_the_workflow_looks(tmp_path):
    store = written(tmp_path)
    assert store.shard(0).is_file()
    assert store.table(1).is_file()


def test_bytes_do_not_depend_on_the_order_of_shards(tmp_path):
    assert tree(written(tmp_path).path) == tree(written(tmp_path, (1, 0), "t.zarr").path)


def test_a_deleted_shard_is_rebuilt_with_the_same_bytes(tmp_path):
    store = written(tmp_path)
    before = tree(store.path)
    store.shard(1).unlink()
    written(tmp_path, (1,))
    assert tree(store.path) == before


def test_golden_bytes(tmp_path):
    """Stores are bit-identical anywhere; a new version of zarr or numcodecs may break this."""
    store = written(tmp_path)
    assert hashlib.sha256(store.shard(0).read_bytes()).hexdigest() == GOLDEN_SHARD


@pytest.mark.parametrize("count", [3, 4])
def test_shards_have_the_bytes_that_zarr_writes(tmp_path, count):
    """calvaria encodes a full or a partial shard itself because Zarr copies every volume twice."""
    import zarr

    volumes = np.random.default_rng(0).integers(0, 3, (count, 9, 10, 11), np.uint8)
    for name in ("ours", "theirs"):
        write_shard(Store(tmp_path / name), 0, count, 4, Grid((9, 10, 11), 1.0), volumes, [{}] * count)
    with zarr.config.set({"array.write_empty_chunks": True}):
        zarr.open_array(tmp_path / "theirs" / "labels", mode="r+")[:] = volumes[::-1]
        zarr.open_array(tmp_path / "theirs" / "labels", mode="r+")[:] = volumes
    ours, theirs = (Store(tmp_path / name).shard(0).read_bytes() for name in ("ours", "theirs"))
    assert ours == theirs


def test_a_shard_of_background_is_still_a_file(tmp_path):
    store = Store(tmp_path / "empty.zarr")
    write_shard(store, 0, 2, 2, GRID, np.zeros((2, *GRID.shape), np.uint8), [{}, {}])
    assert store.shard(0).is_file()


def test_a_store_can_grow(tmp_path):
    store = written(tmp_path)
    before = store.shard(0).read_bytes()
    write_shard(store, 2, 9, 3, GRID, volumes(3), [{}] * 3)
    assert len(store) == 9
    assert store.shard(0).read_bytes() == before


def test_any_zarr_reader_can_open_it(tmp_path):
    import zarr

    group = zarr.open_group(written(tmp_path).path, mode="r")
    assert np.array_equal(group["labels"][4], volumes(5)[4])
    assert group.attrs["spacing_mm"] == 2.0
    assert np.allclose(group.attrs["affine"], GRID.affine)


def test_a_changed_volume_is_seen(tmp_path):
    store = written(tmp_path)
    rows = store.rows()
    rows[1]["sha256"] = "0" * 64
    with pytest.raises(StoreError, match="volume 1 does not match"):
        list(store.volumes(rows))


def test_missing_rows_are_seen(tmp_path):
    store = written(tmp_path)
    store.table(0).unlink()
    with pytest.raises(StoreError, match="missing or duplicated"):
        store.rows()


def test_wrong_labels_and_counts_are_refused(tmp_path):
    store = Store(tmp_path / "s.zarr")
    with pytest.raises(ValueError, match="expected uint8 labels 0, 1 or 2"):
        write_shard(store, 0, 1, 1, GRID, np.full((1, *GRID.shape), 3, np.uint8), [{}])
    with pytest.raises(ValueError, match="expected 1 volumes"):
        write_shard(store, 1, 3, 2, GRID, volumes(2), [{}, {}])
    assert not store.path.exists()


def test_errors_name_the_file(tmp_path):
    with pytest.raises(StoreError, match=r"absent\.zarr"):
        Store(tmp_path / "absent.zarr").volume({"index": 0})
    (tmp_path / "bad.jsonl").write_text("{]\n")
    with pytest.raises(StoreError, match=r"bad\.jsonl"):
        read_rows(tmp_path / "bad.jsonl")


def test_not_a_number_never_reaches_a_table(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_rows(tmp_path / "rows.jsonl", [{"hd95_mm": float("inf")}])
    assert not (tmp_path / "rows.jsonl").exists()


def test_an_unchanged_file_is_left_untouched(tmp_path):
    path = tmp_path / "a" / "file"
    write_atomically(path, "x")
    before = path.stat().st_mtime_ns
    write_atomically(path, "x")
    assert path.stat().st_mtime_ns == before


def test_tensors_come_back_whatever_their_memory_layout(tmp_path):
    """safetensors ignores strides: weights in channels-last layout would be saved scrambled."""
    made = {
        "fortran": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
        "moved": np.moveaxis(np.arange(24, dtype=np.float16).reshape(2, 3, 4), 0, -1),
        "scalar": np.array(3, np.int64),
    }
    write_tensors(tmp_path / "t.safetensors", made)
    found = read_tensors(tmp_path / "t.safetensors")
    assert all(np.array_equal(found[name], value) for name, value in made.items())


def test_damaged_tensors_are_named(tmp_path):
    path = tmp_path / "t.safetensors"
    with pytest.raises(StoreError, match=r"t\.safetensors: no such file"):
        read_tensors(path)
    write_tensors(path, {"a": np.zeros(100)})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StoreError, match=r"t\.safetensors: damaged"):
        read_tensors(path)


def test_a_flipped_bit_anywhere_is_seen(tmp_path):
    """Damage of an array, name, checksum or text never gives a wrong value without an error."""
    path = tmp_path / "t.safetensors"
    made = {"first": np.arange(6.0), "second": np.arange(6, dtype=np.float16)}
    write_tensors(path, made, "about")
    sound = path.read_bytes()
    for place in range(len(sound)):
        for bit in (0, 5):
            content = bytearray(sound)
            content[place] ^= 1 << bit
            path.write_bytes(content)
            try:
                found, about = read_tensors(path), read_about(path)
            except StoreError:
                continue
            else:
                assert found.keys() == made.keys()
                assert all(np.array_equal(found[name], value) for name, value in made.items())
                assert about == "about"
    path.write_bytes(sound)
    assert read_about(path) == "about"
    assert np.array_equal(read_tensor(path, "second"), made["second"])
    with pytest.raises(StoreError, match="damaged"):
        read_tensor(path, "third")


def test_a_flipped_byte_of_a_shard_is_seen(tmp_path):
    made = volumes(3)
    store = Store(tmp_path / "s.zarr")
    write_shard(store, 0, 3, 3, GRID, made, [{}] * 3)
    rows, sound, seen = store.rows(), store.shard(0).read_bytes(), 0
    for place in range(0, len(sound), 7):
        content = bytearray(sound)
        content[place] ^= 1
        store.shard(0).write_bytes(content)
        for row, volume in zip(rows, made, strict=True):
            try:
                assert np.array_equal(store.volume(row), volume)
            except StoreError:
                seen += 1
    assert seen > len(sound) / 20


def test_what_a_larger_store_has_left_behind_is_not_looked_at(tmp_path):
    store = Store(tmp_path / "s.zarr")
    for shard in range(2):
        write_shard(store, shard, 4, 2, GRID, volumes(2), [{}] * 2)
    write_shard(store, 0, 2, 2, GRID, volumes(2), [{}] * 2)
    assert [row["index"] for row in store.rows()] == [0, 1]


def test_digest_is_of_the_bytes_in_c_order():
    volume = volumes(1)[0]
    assert digest(np.asfortranarray(volume)) == digest(volume)


GOLDEN_SHARD = "f620f70665b9eca500c18bdd40fe1c0f0d86c56b049fc8e5171c756a43c8deaa"
