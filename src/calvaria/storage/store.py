"""Zarr 3 stores of label volumes with a table of metadata, one row per volume.

A store is a directory ``NAME.zarr``:

- ``labels/``: one uint8 array (volume, x, y, z); one chunk per volume, many volumes per shard. One job
  writes one shard, and the shard's file ``labels/c/K/0/0/0`` is what the workflow tracks.
- ``rows/K.jsonl``: one JSON object per volume of shard K, in order, with ``index`` and ``sha256`` of the
  volume's bytes, and the columns of the stage that writes it (see `calvaria.storage.rows`).

Bit-shuffling turns the labels into bit planes, which zstd compresses to 0.6 of a ``.nii.gz``; it is a
standard Zarr codec, so any Zarr 3 reader opens the array.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import numpy as np

from calvaria.errors import StoreError
from calvaria.geometry.grid import IMPLANT, Grid
from calvaria.storage.rows import VolumeRow

RowT = TypeVar("RowT", bound=VolumeRow, covariant=True)

METADATA = ("zarr.json", "labels/zarr.json")  # Zarr's metadata files
PARTIAL = ".partial"  # suffix of files that are being written
CHECKSUM_BYTES = 4  # size of a CRC-32C
ABANDONED_S = 3600.0  # age above which a partial file is assumed to be left over from a killed job
PACKING: dict[str, Any] = {"cname": "zstd", "clevel": 1, "blocksize": 2**20}


@dataclass(frozen=True)
class Store(Generic[RowT]):
    """A store on disk, with rows of one table; creating the object reads nothing."""

    path: Path

    def shard(self, number: int | str) -> Path:
        """Return the file of one shard."""
        return self.path / "labels" / "c" / str(number) / "0" / "0" / "0"

    def table(self, number: int | str) -> Path:
        """Return the rows of one shard."""
        return self.path / "rows" / f"{number}.jsonl"

    def __len__(self) -> int:
        return int(read_json(self.path / "labels" / "zarr.json")["shape"][0])

    def rows(self) -> list[RowT]:
        """Return the rows of all shards, ordered by index.

        Rows from a time when the store was larger are ignored.

        Raises:
            StoreError: if there is no store, or indices are missing or duplicated.
        """
        count = len(self)
        tables = sorted((self.path / "rows").glob("*.jsonl"), key=lambda table: int(table.stem))
        rows = [row for table in tables for row in read_rows(table) if row["index"] < count]
        if [row["index"] for row in rows] != list(range(count)):
            raise StoreError(f"{self.path}: rows are missing or duplicated; delete the store and run again")
        return cast(list[RowT], rows)

    def shard_rows(self, number: int) -> list[RowT]:
        """Return the rows of one shard.

        Raises:
            StoreError: if the table is missing or a line is not JSON.
        """
        return cast(list[RowT], read_rows(self.table(number)))

    @property
    def labels(self) -> Any:
        """The open Zarr array, (n, x, y, z) uint8, for repeated random access."""
        return _open(self.path)

    def volumes(self, rows: Sequence[VolumeRow]) -> Iterator[np.ndarray]:
        """Yield the (x, y, z) uint8 label volumes of these rows, each checked against its sha256.

        Raises:
            StoreError: if the bytes of a volume differ from those that were written.
        """
        labels = self.labels
        for row in rows:
            yield self.volume(row, labels)

    def volume(self, row: VolumeRow, labels: Any = None) -> np.ndarray:
        """Return the (x, y, z) uint8 label volume of one row, checked against its sha256.

        Args:
            labels: the open array, if several volumes are read.

        Raises:
            StoreError: if the bytes are missing or differ from those that were written.
        """
        labels = self.labels if labels is None else labels
        index = row["index"]
        try:
            volume = np.asarray(labels[index])
        except Exception as error:  # Zarr and its codecs raise many types for corrupt bytes
            reason = f"cannot be read ({error})"
        else:
            if digest(volume) == row["sha256"]:
                return volume
            reason = "does not match its sha256"  # Zarr reads a missing file as zeros
        shard = self.shard(index // (labels.shards or labels.chunks)[0])
        remedy = "is corrupt; delete it and run again" if shard.is_file() else "is missing; run again"
        raise StoreError(f"{self.path}: volume {index} {reason}; {shard} {remedy}")


def digest(volume: np.ndarray) -> str:
    """Return the SHA-256 of a volume's bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(volume).data).hexdigest()


def write_shard(
    store: Store[Any],
    number: int,
    count: int,
    shard_size: int,
    grid: Grid,
    volumes: np.ndarray,
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Write one shard and its rows, and the metadata of a new store.

    Args:
        number: 0-based number of the shard.
        count: volumes in the whole store.
        shard_size: volumes per full shard.
        volumes: (n, x, y, z) uint8 labels, all volumes of the shard.
        rows: the stage's columns of each volume; ``index`` and ``sha256`` are added.

    Raises:
        ValueError: if the number of volumes or rows does not match the shard, or a label is not 0, 1 or 2.
        StoreError: if a file cannot be written.
    """
    first = number * shard_size
    expected = min(shard_size, count - first)
    if len(volumes) != expected or len(rows) != expected:
        raise ValueError(
            f"shard {number}: expected {expected} volumes, got {len(volumes)} volumes and {len(rows)} rows"
        )
    if volumes.dtype != np.uint8 or volumes.max() > IMPLANT:
        raise ValueError(f"expected uint8 labels 0, 1 or 2, got {volumes.dtype} up to {volumes.max()}")
    _create(store.path, count, shard_size, grid)
    write_atomically(store.shard(number), _shard(volumes, shard_size))
    write_rows(
        store.table(number),
        [{"index": first + i, **row, "sha256": digest(volumes[i])} for i, row in enumerate(rows)],
    )


def _shard(volumes: np.ndarray, shard_size: int) -> bytes:
    """Return the bytes that Zarr writes for a shard, without its two copies of every volume."""
    from numcodecs import blosc

    blosc.use_threads = False  # several threads would write blocks in the order of completion
    pack = blosc.Blosc(**{**PACKING, "shuffle": blosc.BITSHUFFLE})
    return join_chunks([pack.encode(np.ascontiguousarray(volume)) for volume in volumes], shard_size)


def join_chunks(chunks: Sequence[bytes], shard_size: int) -> bytes:
    """Return a shard: encoded chunks, an index of their offsets and lengths, and the index's checksum.

    Source: Zarr 3, sharding_indexed codec, version 1.
    """
    index = np.full((shard_size, 2), 2**64 - 1, "<u8")  # all ones mark a missing chunk
    sizes = np.array([len(chunk) for chunk in chunks])
    index[: len(chunks)] = np.stack([np.cumsum(sizes) - sizes, sizes], axis=1)
    return b"".join([*chunks, append_checksum(index.tobytes())])


def append_checksum(body: bytes) -> bytes:
    """Return bytes followed by their CRC-32C, as Zarr's codec of that name writes them."""
    import google_crc32c

    return body + google_crc32c.value(body).to_bytes(CHECKSUM_BYTES, "little")


def strip_checksum(content: bytes, name: str) -> bytes:
    """Verify the CRC-32C at the end of ``content`` and return the bytes before it.

    Args:
        name: of the content, for the error.

    Raises:
        ValueError: if the checksum does not match.
    """
    body = content[:-CHECKSUM_BYTES]
    if append_checksum(body) != content:
        raise ValueError(f"{name} does not match its checksum")
    return body


def _open(path: Path) -> Any:
    import zarr

    metadata = path / "labels" / "zarr.json"
    if not metadata.is_file():
        raise StoreError(f"{path}: no such store; run the stage that makes it")
    try:
        # The format is fixed because version 2 has a codec that unpickles.
        return zarr.open_array(path / "labels", mode="r", zarr_format=3)
    except Exception as error:  # Zarr raises many types for corrupt metadata
        raise StoreError(
            f"{metadata}: damaged ({error}); delete it and a shard of that store and run again"
        ) from None


def attributes(grid: Grid) -> dict[str, Any]:
    """Return the attributes of a store's Zarr group: label names, axes and affine."""
    return {
        "labels": {"0": "background", "1": "bone", "2": "implant"},
        "axes": "x to the right, y to the front, z to the top (RAS+)",
        "affine": grid.affine.tolist(),
        "spacing_mm": grid.spacing_mm,
    }


def _create(path: Path, count: int, shard_size: int, grid: Grid) -> None:
    """Write the store's metadata; existing shards stay, so a store can grow."""
    import zarr
    from zarr.codecs import BloscCodec
    from zarr.storage import MemoryStore

    files: dict[str, Any] = {}
    group = zarr.create_group(
        MemoryStore(files),
        attributes=attributes(grid),
    )
    group.create_array(
        "labels",
        shape=(count, *grid.shape),
        dtype="uint8",
        chunks=(1, *grid.shape),
        shards=(shard_size, *grid.shape),
        compressors=BloscCodec(typesize=1, shuffle="bitshuffle", **PACKING),
        dimension_names=("volume", "x", "y", "z"),
    )
    for key in METADATA:
        write_atomically(path / key, files[key].to_bytes())


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a whole file or nothing; a file that already has this content is left untouched.

    Raises:
        StoreError: if the file cannot be written, such as on a full or read-only disk.
    """
    data = content.encode() if isinstance(content, str) else content
    # Jobs on different machines may write the same file and have the same process id.
    partial = path.with_name(f".{secrets.token_hex(8)}{PARTIAL}")
    with writing(path):
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(data)
            partial.replace(path)
        except BaseException:  # a killed job leaves the partial file; see clear_partial
            with suppress(OSError):  # the first error is more informative
                partial.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert OSError into a StoreError that names the file and the remedy."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); free disk space or fix the permissions, "
            "and run again"
        ) from None


def clear_partial(root: Path) -> None:
    """Delete partial files of killed jobs below a directory that are older than `ABANDONED_S`."""
    for path in root.rglob(f".*{PARTIAL}"):
        with suppress(FileNotFoundError):  # its job may have renamed it in the meantime
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                path.unlink()


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a JSONL table, one object per line.

    Raises:
        ValueError: if a value is infinite or NaN; the caller replaces it by None.
        StoreError: if the file cannot be written.
    """
    write_atomically(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a JSONL table with arbitrary columns.

    Raises:
        StoreError: if the table is missing or a line is not JSON.
    """
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        raise StoreError(f"{path}: no such table; run the stage that makes it") from None
    except json.JSONDecodeError as error:
        raise StoreError(f"{path}: damaged table ({error}); delete it and run again") from None


def write_json(path: Path, content: Any) -> None:
    """Write a JSON document atomically."""
    write_atomically(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises:
        StoreError: if it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; run the stage that makes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: damaged JSON ({error}); delete it and run again") from None
