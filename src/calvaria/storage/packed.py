"""Packed stores: label volumes as bits, for publishing; small files with fast random access.

A packed store has the layout of a run's store (see `calvaria.storage.store`) except for its array:

- ``planes/``: one uint8 array (volume, plane, x, y, z / 8). Plane 0 is bone (label 1); plane 1, in stores of
  cases only, is implant (label 2). Each bit is a voxel, packed along z in the order of ``numpy.packbits``.
  One chunk per volume, many per shard; zstd, then a CRC-32C of the compressed bytes, which is almost free,
  whereas zstd's own checksum takes most of the read time. Both are core codecs of Zarr 3.
- ``rows/0.jsonl``: the rows of all volumes. Their ``sha256`` is that of the label volume.

zstd compresses bits better than labels, and `numpy.unpackbits` restores a mask (benchmarks/loading.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from calvaria.errors import StoreError
from calvaria.geometry.grid import BONE, IMPLANT, Grid
from calvaria.storage.rows import VolumeRow
from calvaria.storage.store import (
    CHECKSUM_BYTES,
    Store,
    append_checksum,
    attributes,
    digest,
    join_chunks,
    read_json,
    read_rows,
    strip_checksum,
    write_atomically,
    write_rows,
)

ZSTD_LEVEL = 16  # the first level with optimal parsing; about 0.3 s for a volume of 256 cubed
CORRUPT = "the store is corrupt; copy or download it again"
INCOMPLETE = "the store is incomplete; add the missing files or publish it again"


@dataclass(frozen=True)
class PackedStore:
    """A packed store on disk with the interface of `calvaria.storage.store.Store`.

    Creating the object reads nothing. It caches the indices of its shards but keeps no file open, so it can
    be pickled.
    """

    path: Path

    def shard(self, number: int) -> Path:
        """Return the file of one shard."""
        return self.path / "planes" / "c" / str(number) / "0" / "0" / "0" / "0"

    def __len__(self) -> int:
        return int(self._array["shape"][0])

    def rows(self) -> list[Any]:
        """Return the rows of all volumes, ordered by index; their table is screen or inject.

        Raises:
            StoreError: if indices are missing or duplicated.
        """
        rows = read_rows(self.path / "rows" / "0.jsonl")
        if [row["index"] for row in rows] != list(range(len(self))):
            raise StoreError(f"{self.path}: rows are missing or duplicated; {INCOMPLETE}")
        return rows

    def masks(self, index: int) -> list[np.ndarray]:
        """Return the (x, y, z) uint8 masks of a volume: bone and, in a store of cases, implant."""
        return [np.unpackbits(plane, axis=-1) for plane in self.planes(index)]

    def volume(self, row: VolumeRow) -> np.ndarray:
        """Return the (x, y, z) uint8 label volume of a row, checked against its sha256.

        Raises:
            StoreError: if the bytes are missing or differ from those that were written.
        """
        labels, *implant = self.masks(row["index"])
        for mask in implant:
            labels += IMPLANT * mask
        if digest(labels) != row["sha256"]:
            raise StoreError(f"{self.path}: volume {row['index']} does not match its sha256; {CORRUPT}")
        return labels

    def volumes(self, rows: Sequence[VolumeRow]) -> Iterator[np.ndarray]:
        """Yield the (x, y, z) uint8 label volumes of these rows, each checked against its sha256.

        Raises:
            StoreError: if the bytes of a volume are missing or differ from those that were written.
        """
        for row in rows:
            yield self.volume(row)

    @cached_property
    def _array(self) -> dict[str, Any]:
        """The metadata of the Zarr array."""
        metadata: dict[str, Any] = read_json(self.path / "planes" / "zarr.json")
        (outer,) = metadata["codecs"]
        inner = [codec["name"] for codec in outer["configuration"].get("codecs", [])]
        if inner != ["bytes", "zstd", "crc32c"]:
            raise StoreError(
                f"{self.path}: expected the codecs bytes, zstd and crc32c, got {', '.join(inner)}; open "
                "planes/ with zarr instead"
            )
        return metadata

    @cached_property
    def _shard_indices(self) -> dict[int, np.ndarray]:
        """Cache: (size, 2) offset and length of every chunk, by the number of the shard."""
        return {}

    def planes(self, index: int) -> np.ndarray:
        """Return the (plane, x, y, z / 8) uint8 bits of one volume.

        The chunk is read without Zarr, whose overhead exceeds the time of reading and decoding.

        Raises:
            IndexError: if there is no such volume.
            StoreError: if the shard is missing or corrupt.
        """
        from numcodecs import Zstd

        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: expected a volume from 0 to {len(self) - 1}, got {index}")
        size = self._array["chunk_grid"]["configuration"]["chunk_shape"][0]
        number, within = divmod(index, size)
        path = self.shard(number)
        try:
            with path.open("rb") as file:
                if number not in self._shard_indices:
                    self._shard_indices[number] = _read_index(file, size)
                start, length = (int(value) for value in self._shard_indices[number][within])
                file.seek(start)
                encoded = strip_checksum(file.read(length), "its chunk")
            bits = np.empty(self._array["shape"][1:], np.uint8)
            Zstd().decode(encoded, out=bits)
            return bits
        except FileNotFoundError:
            raise StoreError(f"{path}: no such file; {INCOMPLETE}") from None
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(
                f"{path}: cannot be read ({reason}); check the permissions and the disk"
            ) from None
        except (OverflowError, RuntimeError, ValueError) as error:
            raise StoreError(f"{path}: volume {index} cannot be read ({error}); {CORRUPT}") from None


def _read_index(file: BinaryIO, size: int) -> np.ndarray:
    """Return the (size, 2) uint64 offset and length of every chunk of a shard."""
    length = 16 * size + CHECKSUM_BYTES
    if file.seek(0, 2) < length:
        raise ValueError("the file is too short for its index")
    file.seek(-length, 2)
    return np.frombuffer(strip_checksum(file.read(length), "the index"), "<u8").reshape(size, 2)


def open_store(path: Path) -> Store[Any] | PackedStore:
    """Open the store of a run or a packed store.

    Raises:
        StoreError: if there is neither.
    """
    if (path / "planes" / "zarr.json").is_file():
        return PackedStore(path)
    if (path / "labels" / "zarr.json").is_file():
        return Store(path)
    raise StoreError(f"{path}: no such store; expected a directory with planes/ or labels/ in it")


def write_packed(
    path: Path,
    volumes: Iterator[np.ndarray],
    rows: Sequence[Mapping[str, Any]],
    shard_size: int,
    grid: Grid,
    cases: bool,
) -> PackedStore:
    """Write a packed store, holding one compressed shard in memory at a time.

    Args:
        volumes: (x, y, z) uint8 labels, one per row.
        rows: the complete rows, with ``index`` and ``sha256``.
        shard_size: volumes per full shard.
        cases: whether the store has implants; otherwise only bone is stored, and label 2 is an error.

    Raises:
        ValueError: if a volume of a store of skulls has an implant.
        StoreError: if a file cannot be written.
    """
    from numcodecs import Zstd

    store = PackedStore(path)
    pack = Zstd(ZSTD_LEVEL)
    labels = (BONE, IMPLANT) if cases else (BONE,)
    _create(path, (len(rows), len(labels), *grid.shape), shard_size, grid)
    write_rows(path / "rows" / "0.jsonl", rows)
    chunks: list[bytes] = []
    for number, volume in enumerate(volumes):
        if volume.max() > labels[-1]:
            raise ValueError(
                f"{path}: expected labels up to {labels[-1]}, got {volume.max()} in volume {number}"
            )
        planes = np.stack([np.packbits(volume == label, axis=-1) for label in labels])
        chunks.append(append_checksum(pack.encode(planes)))
        if len(chunks) == shard_size or number == len(rows) - 1:
            write_atomically(store.shard(number // shard_size), join_chunks(chunks, shard_size))
            chunks = []
    return store


def _create(path: Path, shape: tuple[int, ...], shard_size: int, grid: Grid) -> None:
    """Write the metadata of a store of (volume, plane, x, y, z) bits."""
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
        compressors=[ZstdCodec(level=ZSTD_LEVEL), Crc32cCodec()],
        dimension_names=("volume", "plane", "x", "y", "z"),
        attributes={
            "planes": ["bone", "implant"][: shape[1]],
            "packed": "8 voxels a byte along z, the first in the highest bit",
        },
    )
    for key in ("zarr.json", "planes/zarr.json"):
        write_atomically(path / key, files[key].to_bytes())
