"""Packed stores: label volumes as bits, small enough to be passed on and quick to read at random.

A packed store has the layout of a run's store (see `calvaria.storage.store`), but for its array:

- ``planes/``: one uint8 array (volume, plane, x, y, z / 8). Plane 0 is bone (label 1), plane 1, which stores
  of cases alone have, is implant (label 2); each bit is a voxel, packed along z as ``numpy.packbits`` does.
  One chunk per volume, many per shard; zstd, then a CRC-32C of what lies on disk, which costs next to nothing
  where zstd's own checksum takes most of a read. Both are core codecs of Zarr 3.
- ``rows/0.jsonl``: the rows of all volumes. Their ``sha256`` is that of the label volume.

zstd packs bits better than labels, and a mask is one `numpy.unpackbits` away (benchmarks/loading.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from calvaria.errors import StoreError
from calvaria.geometry.grid import BONE, IMPLANT, Grid
from calvaria.storage.store import (
    CHECKSUM_BYTES,
    Row,
    Store,
    attributes,
    checked,
    digest,
    joined,
    read_json,
    read_rows,
    with_checksum,
    write_atomically,
    write_rows,
)

LEVEL = 16  # of zstd: the first that looks for the smallest encoding; about 0.3 s a volume of 256 cubed
AGAIN = "the store is damaged: get it anew"


@dataclass(frozen=True)
class PackedStore:
    """A packed store on disk, with the interface of `calvaria.storage.store.Store`; opening it reads nothing.

    It remembers what it read of its shards' indexes, but keeps no file open, so it can be pickled.
    """

    path: Path

    def shard(self, number: int) -> Path:
        """The file of one shard."""
        return self.path / "planes" / "c" / str(number) / "0" / "0" / "0" / "0"

    def __len__(self) -> int:
        return int(self._array["shape"][0])

    def rows(self) -> list[Row]:
        """The rows of all volumes, in the order of their index.

        Raises:
            StoreError: if indexes are missing or double.
        """
        rows = read_rows(self.path / "rows" / "0.jsonl")
        if [row["index"] for row in rows] != list(range(len(self))):
            raise StoreError(f"{self.path}: rows are missing or double; {AGAIN}")
        return rows

    def masks(self, index: int) -> list[np.ndarray]:
        """The (x, y, z) uint8 masks of a volume's bone and implant; of bone alone in a store of skulls."""
        return [np.unpackbits(plane, axis=-1) for plane in self.planes(index)]

    def volume(self, row: Row) -> np.ndarray:
        """The (x, y, z) uint8 label volume of a row, checked against its sha256.

        Raises:
            StoreError: if the volume's bytes are not those that were written.
        """
        labels, *implant = self.masks(row["index"])
        for mask in implant:
            labels += IMPLANT * mask
        if digest(labels) != row["sha256"]:
            raise StoreError(f"{self.path}: volume {row['index']}: does not match its sha256; {AGAIN}")
        return labels

    def volumes(self, rows: Sequence[Row]) -> Iterator[np.ndarray]:
        """The (x, y, z) uint8 label volumes of these rows, each checked against its sha256.

        Raises:
            StoreError: if a volume's bytes are not those that were written.
        """
        for row in rows:
            yield self.volume(row)

    @cached_property
    def _array(self) -> dict[str, Any]:
        """Zarr's metadata of the array."""
        found: dict[str, Any] = read_json(self.path / "planes" / "zarr.json")
        (outer,) = found["codecs"]
        inner = [codec["name"] for codec in outer["configuration"].get("codecs", [])]
        if inner != ["bytes", "zstd", "crc32c"]:
            raise StoreError(
                f"{self.path}: encoded as {inner}, wanted zstd and crc32c; open planes/ with zarr instead"
            )
        return found

    @cached_property
    def _indexes(self) -> dict[int, np.ndarray]:
        """Where the volumes of each shard lie, of those shards that were read."""
        return {}

    def planes(self, index: int) -> np.ndarray:
        """(plane, x, y, z / 8) uint8 bits of one volume.

        Read without Zarr, whose way to a chunk takes longer than all the rest.
        """
        from numcodecs import Zstd

        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: has {len(self)} volumes, wanted number {index}")
        size = self._array["chunk_grid"]["configuration"]["chunk_shape"][0]
        number, within = divmod(index, size)
        path = self.shard(number)
        try:
            with path.open("rb") as file:
                if number not in self._indexes:
                    self._indexes[number] = _read_index(file, size)
                start, length = (int(value) for value in self._indexes[number][within])
                file.seek(start)
                encoded = checked(file.read(length), "what lies there")
            bits = np.empty(self._array["shape"][1:], np.uint8)
            Zstd().decode(encoded, out=bits)
            return bits
        except FileNotFoundError:
            raise StoreError(f"{path}: no such file; {AGAIN}") from None
        except (OSError, OverflowError, RuntimeError, ValueError) as error:
            raise StoreError(f"{path}: volume {index} cannot be read ({error}); {AGAIN}") from None


def _read_index(file: BinaryIO, size: int) -> np.ndarray:
    """(size, 2) where each chunk of a shard starts and how long it is."""
    length = 16 * size + CHECKSUM_BYTES
    file.seek(-length, 2)
    return np.frombuffer(checked(file.read(length), "the index"), "<u8").reshape(size, 2)


def open_store(path: Path) -> Store | PackedStore:
    """A run's store or a packed one, whichever lies there.

    Raises:
        StoreError: if neither does.
    """
    for array, kind in (("planes", PackedStore), ("labels", Store)):
        if (path / array / "zarr.json").is_file():
            return kind(path)
    raise StoreError(f"{path}: no such store; wanted a directory that has planes/ or labels/ in it")


def write_packed(
    path: Path, volumes: Iterator[np.ndarray], rows: Sequence[Row], shard_size: int, grid: Grid, cases: bool
) -> PackedStore:
    """Writes a packed store; one shard of it is in memory at a time, compressed.

    Args:
        volumes: (x, y, z) uint8 labels, one for each row.
        rows: what is said of each volume, with its ``index`` and ``sha256``.
        shard_size: volumes per full shard.
        cases: whether there are implants; otherwise only bone is kept, and label 2 is an error.

    Raises:
        ValueError: if a store of skulls is given an implant.
    """
    from numcodecs import Zstd

    store = PackedStore(path)
    pack = Zstd(LEVEL)
    labels = (BONE, IMPLANT) if cases else (BONE,)
    _create(path, (len(rows), len(labels), *grid.shape), shard_size, grid)
    write_rows(path / "rows" / "0.jsonl", rows)
    chunks: list[bytes] = []
    for number, volume in enumerate(volumes):
        if volume.max() > labels[-1]:
            raise ValueError(f"{path}: volume {number} has label {volume.max()}, wanted at most {labels[-1]}")
        planes = np.stack([np.packbits(volume == label, axis=-1) for label in labels])
        chunks.append(with_checksum(pack.encode(planes)))
        if len(chunks) == shard_size or number == len(rows) - 1:
            write_atomically(store.shard(number // shard_size), joined(chunks, shard_size))
            chunks = []
    return store


def _create(path: Path, shape: tuple[int, ...], shard_size: int, grid: Grid) -> None:
    """Writes the metadata of a store of (volume, plane, x, y, z) bits."""
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec
    from zarr.storage import MemoryStore

    files: dict[str, Any] = {}
    packed = (*shape[1:-1], shape[-1] // 8)
    group = zarr.create_group(MemoryStore(files), attributes=attributes(grid))
    group.create_array(
        "planes",
        shape=(shape[0], *packed),
        dtype="uint8",
        chunks=(1, *packed),
        shards=(shard_size, *packed),
        compressors=[ZstdCodec(level=LEVEL), Crc32cCodec()],
        dimension_names=("volume", "plane", "x", "y", "z"),
        attributes={
            "planes": ["bone", "implant"][: shape[1]],
            "packed": "8 voxels a byte along z, the first in the highest bit",
        },
    )
    for key in ("zarr.json", "planes/zarr.json"):
        write_atomically(path / key, files[key].to_bytes())
