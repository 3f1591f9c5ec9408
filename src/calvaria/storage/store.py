"""Zarr 3 stores of label volumes, with a table of what each volume is beside them.

A store is a directory ``NAME.zarr``:

- ``labels/``: one uint8 array (volume, x, y, z); one chunk per volume, many volumes per shard. One job
  writes one shard, and the shard's file ``labels/c/K/0/0/0`` is what the workflow tracks.
- ``rows/K.jsonl``: one JSON object per volume of shard K, in order, with ``index`` and ``sha256`` of the
  volume's bytes; the stage that writes adds ancestry, parameters or scores.

Bit-shuffling turns the labels into bit planes, which zstd packs to 0.6 of a ``.nii.gz``; it is a
standard Zarr codec, so any Zarr 3 reader opens the array.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calvaria.errors import StoreError
from calvaria.geometry.grid import IMPLANT, Grid

Row = dict[str, Any]

METADATA = ("zarr.json", "labels/zarr.json")  # what Zarr says of a store
PARTIAL = ".partial"
CHECKSUM_BYTES = 4  # of a CRC-32C
ABANDONED_S = 3600.0  # no file takes longer to write
PACKING: dict[str, Any] = {"cname": "zstd", "clevel": 1, "blocksize": 2**20}


@dataclass(frozen=True)
class Store:
    """A store on disk; opening it reads nothing."""

    path: Path

    def shard(self, number: int | str) -> Path:
        """The file of one shard."""
        return self.path / "labels" / "c" / str(number) / "0" / "0" / "0"

    def table(self, number: int | str) -> Path:
        """The rows of one shard."""
        return self.path / "rows" / f"{number}.jsonl"

    def __len__(self) -> int:
        return int(read_json(self.path / "labels" / "zarr.json")["shape"][0])

    def rows(self) -> list[Row]:
        """The rows of all shards, in the order of their index.

        What a store that was larger once has left behind is not looked at.

        Raises:
            StoreError: if there is no store, or indexes are missing or double.
        """
        count = len(self)
        tables = sorted((self.path / "rows").glob("*.jsonl"), key=lambda table: int(table.stem))
        rows = [row for table in tables for row in read_rows(table) if row["index"] < count]
        if [row["index"] for row in rows] != list(range(count)):
            raise StoreError(f"{self.path}: rows are missing or double; delete the store and run again")
        return rows

    @property
    def labels(self) -> Any:
        """The open Zarr array, (n, x, y, z) uint8, for whoever reads many volumes in any order."""
        return _open(self.path)

    def volumes(self, rows: Sequence[Row]) -> Iterator[np.ndarray]:
        """The (x, y, z) uint8 label volumes of these rows, each checked against its sha256.

        Raises:
            StoreError: if a volume's bytes are not those that were written.
        """
        labels = self.labels
        for row in rows:
            yield self.volume(row, labels)

    def volume(self, row: Row, labels: Any = None) -> np.ndarray:
        """The (x, y, z) uint8 label volume of one row, checked against its sha256.

        Args:
            labels: the open array, for whoever reads many volumes.

        Raises:
            StoreError: if its bytes are not those that were written, or are gone.
        """
        labels = self.labels if labels is None else labels
        index = row["index"]
        try:
            volume = np.asarray(labels[index])
        except Exception as error:  # whatever Zarr and its codecs make of damaged bytes
            fault = f"cannot be read ({error})"
        else:
            if digest(volume) == row["sha256"]:
                return volume
            fault = "does not match its sha256"  # Zarr takes a file that is gone for zeros
        shard = self.shard(index // (labels.shards or labels.chunks)[0])
        what = "damaged: delete it" if shard.is_file() else "lost:"
        raise StoreError(f"{self.path}: volume {index} {fault}; {shard} is {what} and run again")


def digest(volume: np.ndarray) -> str:
    """SHA-256 of a volume's bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(volume).data).hexdigest()


def write_shard(
    store: Store,
    number: int,
    count: int,
    shard_size: int,
    grid: Grid,
    volumes: np.ndarray,
    rows: Sequence[Row],
) -> None:
    """Writes one shard and its rows; the store's metadata is created if it is not there.

    Args:
        number: which shard.
        count: volumes in the whole store.
        shard_size: volumes per full shard.
        volumes: (n, x, y, z) uint8 labels, all volumes of the shard.
        rows: what to say of each volume; ``index`` and ``sha256`` are added.
    """
    first = number * shard_size
    expected = min(shard_size, count - first)
    if len(volumes) != expected or len(rows) != expected:
        raise ValueError(f"shard {number} holds {expected} volumes, got {len(volumes)} and {len(rows)} rows")
    if volumes.dtype != np.uint8 or volumes.max() > IMPLANT:
        raise ValueError(f"labels must be uint8 0, 1 or 2, got {volumes.dtype} up to {volumes.max()}")
    _create(store.path, count, shard_size, grid)
    write_atomically(store.shard(number), _shard(volumes, shard_size))
    write_rows(
        store.table(number),
        [{"index": first + i, **row, "sha256": digest(volumes[i])} for i, row in enumerate(rows)],
    )


def _shard(volumes: np.ndarray, shard_size: int) -> bytes:
    """The bytes that Zarr writes for a shard, without its two copies of every volume."""
    from numcodecs import blosc

    blosc.use_threads = False  # several threads write their blocks in the order in which they finish
    pack = blosc.Blosc(**{**PACKING, "shuffle": blosc.BITSHUFFLE})
    return joined([pack.encode(np.ascontiguousarray(volume)) for volume in volumes], shard_size)


def joined(chunks: Sequence[bytes], shard_size: int) -> bytes:
    """A shard of encoded chunks.

    Chunks one after the other, then where each starts and how long it is, and a checksum of that
    (Zarr 3, sharding_indexed codec, version 1).
    """
    index = np.full((shard_size, 2), 2**64 - 1, "<u8")  # what is not there
    sizes = np.array([len(chunk) for chunk in chunks])
    index[: len(chunks)] = np.stack([np.cumsum(sizes) - sizes, sizes], axis=1)
    return b"".join([*chunks, with_checksum(index.tobytes())])


def with_checksum(body: bytes) -> bytes:
    """Bytes, and a CRC-32C of them, as Zarr's codec of that name puts it there."""
    import google_crc32c

    return body + google_crc32c.value(body).to_bytes(CHECKSUM_BYTES, "little")


def checked(content: bytes, what: str) -> bytes:
    """What stands before its CRC-32C.

    Raises:
        ValueError: if it is not what the checksum was made of.
    """
    body = content[:-CHECKSUM_BYTES]
    if with_checksum(body) != content:
        raise ValueError(f"{what} does not match its checksum")
    return body


def _open(path: Path) -> Any:
    import zarr

    described = path / "labels" / "zarr.json"
    if not described.is_file():
        raise StoreError(f"{path}: no such store; run the stage that makes it")
    try:
        # The format is fixed: version 2 knows a codec that unpickles.
        return zarr.open_array(path / "labels", mode="r", zarr_format=3)
    except Exception as error:  # whatever Zarr makes of damaged metadata
        raise StoreError(
            f"{described}: damaged ({error}); delete it and a shard of that store and run again"
        ) from None


def attributes(grid: Grid) -> dict[str, Any]:
    """What a store says of its volumes to whoever opens it."""
    return {
        "labels": {"0": "background", "1": "bone", "2": "implant"},
        "axes": "x to the right, y to the front, z to the top (RAS+)",
        "affine": grid.affine.tolist(),
        "spacing_mm": grid.spacing_mm,
    }


def _create(path: Path, count: int, shard_size: int, grid: Grid) -> None:
    """Writes the store's metadata; shards that exist stay, so a store can grow."""
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
    """Writes a whole file or none; a file with this content already is left untouched.

    Raises:
        StoreError: if it cannot be written, because the disk is full or may only be read.
    """
    data = content.encode() if isinstance(content, str) else content
    # Jobs on several machines may write the same file, and have the same process id.
    partial = path.with_name(f".{secrets.token_hex(8)}{PARTIAL}")
    with writing(path):
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(data)
            partial.replace(path)
        except BaseException:  # of a killed job it stays; the workflow clears it away
            with suppress(OSError):  # on a read-only disk, where the first error says more
                partial.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says of a file that cannot be written which it is, why, and what to do.

    Raises:
        StoreError: instead of any OSError.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); make room, or get the right to write "
            "there, and run again"
        ) from None


def clear_partial(root: Path) -> None:
    """Deletes what killed jobs had begun to write below a directory, if that is more than an hour ago."""
    for path in root.rglob(f".*{PARTIAL}"):
        with suppress(FileNotFoundError):  # another job may just have finished it
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                path.unlink()


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Writes a JSONL table, one object a line. Infinite values have to be written as null by the caller."""
    write_atomically(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))


def read_rows(path: Path) -> list[Row]:
    """Reads a JSONL table.

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
    """Writes a JSON document atomically."""
    write_atomically(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON document.

    Raises:
        StoreError: if it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; run the stage that makes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: damaged JSON ({error}); delete it and run again") from None
