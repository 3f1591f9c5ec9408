"""Packed stores: volumes are read back unchanged, also by Zarr, and damage is detected."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from calvaria.errors import StoreError
from calvaria.geometry.grid import Grid
from calvaria.storage.packed import PackedStore, open_store, write_packed
from calvaria.storage.store import Store, digest, write_rows, write_shard

GRID = Grid((8, 16, 24), 2.0)


def volumes(count: int, most: int = 2) -> np.ndarray:
    """Return random labels in a part of the grid; the last volume is empty."""
    made = np.zeros((count, *GRID.shape), np.uint8)
    made[:-1, 2:7, 3:9, 5:20] = np.random.default_rng(0).integers(
        0, most + 1, (count - 1, 5, 6, 15), np.uint8
    )
    return made


def written(path: Path, made: np.ndarray, shard_size: int = 3, cases: bool = True) -> PackedStore:
    rows = [{"index": i, "id": f"s{i}", "sha256": digest(volume)} for i, volume in enumerate(made)]
    return write_packed(path, iter(made), rows, shard_size, GRID, cases)


def test_volumes_masks_and_rows_come_back(tmp_path):
    made = volumes(5)
    store = written(tmp_path / "s.zarr", made)
    rows = store.rows()
    assert len(store) == len(rows) == 5
    assert [row["id"] for row in rows] == ["s0", "s1", "s2", "s3", "s4"]
    for index, found in enumerate(store.volumes(rows)):
        assert found.dtype == np.uint8
        assert np.array_equal(found, made[index])
        bone, implant = store.masks(index)
        assert np.array_equal(bone, made[index] == 1)
        assert np.array_equal(implant, made[index] == 2)
    with pytest.raises(IndexError, match="expected a volume from 0 to 4, got 5"):
        store.masks(5)


def test_a_store_of_skulls_has_one_plane_and_refuses_implants(tmp_path):
    made = volumes(2, most=1)
    store = written(tmp_path / "s.zarr", made, cases=False)
    assert np.array_equal(store.volume(store.rows()[0]), made[0])
    assert len(store.masks(0)) == 1
    with pytest.raises(ValueError, match="expected labels up to 1, got 2"):
        written(tmp_path / "t.zarr", volumes(2), cases=False)


def test_zarr_and_numpy_alone_read_it(tmp_path):
    import zarr

    made = volumes(5)
    group = zarr.open_group(written(tmp_path / "s.zarr", made).path, mode="r")
    bits = np.unpackbits(group["planes"][:], axis=-1)
    assert np.array_equal(bits[:, 0] + 2 * bits[:, 1], made)
    assert np.allclose(group.attrs["affine"], GRID.affine)


def test_zarr_writes_the_same_bytes(tmp_path):
    import zarr

    store, made = written(tmp_path / "s.zarr", volumes(4)), volumes(4)
    before = [store.shard(number).read_bytes() for number in (0, 1)]
    planes = np.packbits(np.stack([made == 1, made == 2], axis=1), axis=-1)
    with zarr.config.set({"array.write_empty_chunks": True}):
        zarr.open_array(store.path / "planes", mode="r+")[:] = planes
    assert [store.shard(number).read_bytes() for number in (0, 1)] == before


def test_golden_bytes(tmp_path):
    """Published digests are the same anywhere; a new version of zstd may break this."""
    shard = written(tmp_path / "s.zarr", volumes(3)).shard(0).read_bytes()
    assert hashlib.sha256(shard).hexdigest() == GOLDEN_SHARD


@pytest.mark.parametrize("place", [0, 30, -10])
def test_every_flipped_byte_is_seen(tmp_path, place):
    """Bytes are flipped in the frame of a volume, in its content and in the index of the shard."""
    store = written(tmp_path / "s.zarr", volumes(3))
    damaged = bytearray(store.shard(0).read_bytes())
    damaged[place] ^= 0x40
    store.shard(0).write_bytes(damaged)
    with pytest.raises(StoreError, match=r"volume 0 cannot be read .*; copy or download it again"):
        PackedStore(store.path).masks(0)


def test_a_lost_shard_or_row_and_another_volume_are_named(tmp_path):
    store = written(tmp_path / "s.zarr", volumes(5))
    rows = store.rows()
    with pytest.raises(StoreError, match="volume 1 does not match"):
        list(store.volumes([rows[1] | {"sha256": rows[0]["sha256"]}]))
    write_rows(store.path / "rows" / "0.jsonl", rows[:-1])
    with pytest.raises(StoreError, match="rows are missing"):
        store.rows()
    store.shard(1).unlink()
    with pytest.raises(StoreError, match="no such file"):
        store.masks(4)
    assert store.masks(0)[0].any()


def test_it_can_be_pickled_after_reading(tmp_path):
    store = written(tmp_path / "s.zarr", volumes(5))
    store.masks(1)
    again = pickle.loads(pickle.dumps(store))
    assert np.array_equal(again.masks(3), store.masks(3))


def test_the_kind_of_store_is_found_out(tmp_path):
    made = volumes(2)
    write_shard(Store(tmp_path / "run.zarr"), 0, 2, 2, GRID, made, [{}, {}])
    assert open_store(written(tmp_path / "p.zarr", made).path) == PackedStore(tmp_path / "p.zarr")
    assert open_store(tmp_path / "run.zarr") == Store(tmp_path / "run.zarr")
    with pytest.raises(StoreError, match="no such store"):
        open_store(tmp_path)


GOLDEN_SHARD = "c5317d434cac6c640074a24e43eeca7db4f4a556a814a7f8ba40403205b8b1c3"
