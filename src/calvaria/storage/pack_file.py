"""Pack files: files with their SHA-256 in one uncompressed tar file.

The first member, ``pack.json``, lists the others in order; its own SHA-256 is the comment of its header.
Nothing depends on the user, the place or the time of packing.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import IO, cast

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from calvaria.errors import InputError, StoreError

FORMAT = 1
RECORD = "pack.json"
RECORD_BYTES = 2**28  # maximum size of the record, which is read into memory
BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class PackedFile:
    """A file in a pack."""

    name: str  # relative to the directory where snakemake runs
    size: int  # bytes
    sha256: str
    mtime_ns: int


@dataclass(frozen=True)
class PackRecord:
    """The record of a pack."""

    run: str  # name of the run
    versions: dict[str, str]
    hardware: dict[str, str | int | None]
    files: tuple[PackedFile, ...]
    format: int = FORMAT


def describe(place: Path, name: str) -> PackedFile:
    """Describe the file ``name`` below ``place``.

    Raises:
        StoreError: if it cannot be read.
    """
    path = place / name
    try:
        stat = path.stat()  # before reading, so that a change in the meantime is noticed
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); fix this and pack again") from None
    return PackedFile(name, stat.st_size, digest, stat.st_mtime_ns)


def write_pack(file: Path, place: Path, record: PackRecord, on_packed: Callable[[], None]) -> None:
    """Write the files of a record, which lie below ``place``, into a new pack.

    Raises:
        StoreError: if a file has changed since it was described.
    """
    content = json.dumps(asdict(record), indent=1).encode()
    first = _header(RECORD, len(content))
    first.pax_headers = {"comment": hashlib.sha256(content).hexdigest()}
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(first, io.BytesIO(content))
        for one in record.files:
            path = place / one.name
            _check_unchanged(path, one)
            with path.open("rb") as source:
                tar.addfile(_header(one.name, one.size, one.mtime_ns), source)
            _check_unchanged(path, one)
            on_packed()


def _header(name: str, size: int, mtime_ns: int = 0) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mtime = size, mtime_ns // 10**9
    return header


def _check_unchanged(path: Path, packed: PackedFile) -> None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        found = "gone"
    else:
        if (stat.st_size, stat.st_mtime_ns) == (packed.size, packed.mtime_ns):
            return
        found = "changed"
    raise StoreError(f"{path}: expected no change while the run is packed, but it has {found}; pack again")


def read_record(file: Path) -> PackRecord:
    """Return the record of a pack, all of whose names stay below the directory that it is unpacked into.

    Raises:
        InputError: if the file is missing or not a pack of this format, or if its record is damaged.
    """
    with _opened(file) as tar:
        header = tar.next()
        if header is None or (header.name, _kind(header)) != (RECORD, "file") or header.size > RECORD_BYTES:
            raise _not_a_pack(file, f"its first member is not {RECORD}")
        content = _content(tar, header).read()
    _check_digest(
        file, RECORD, header.pax_headers.get("comment", "none"), hashlib.sha256(content).hexdigest()
    )
    try:
        raw = json.loads(content)
        if raw.get("format") != FORMAT:
            raise InputError(
                f"{file}: expected a pack of format {FORMAT}, got format {raw.get('format')}; unpack it with "
                "the version of calvaria that wrote it"
            )
        record = TypeAdapter(PackRecord).validate_python(raw)
    except (AttributeError, ValueError):
        raise _not_a_pack(file, f"{RECORD} is not a record of files") from None
    for one in record.files:
        if not _stays_inside(one.name):
            raise InputError(
                f"{file}: expected names of files of a run, got {one.name!r}; do not use this pack"
            )
    return record


def restore_files(file: Path, record: PackRecord, into: Path, on_extracted: Callable[[], None]) -> None:
    """Write the files of a pack below an empty directory.

    Raises:
        InputError: if the pack is truncated, has other members than its record, or does not match a SHA-256.
    """
    count = len(record.files)
    with _opened(file) as tar:
        tar.next()  # the record
        for number, one in enumerate(record.files):
            header = tar.next()
            if header is None:
                raise InputError(
                    f"{file}: expected {count} files, got {number}: it is truncated or damaged after "
                    f"{tar.offset} bytes; copy it again"
                )
            _check_header(file, header, one)
            _check_digest(file, one.name, one.sha256, _copy(_content(tar, header), into / one.name))
            on_extracted()
        if extra := tar.next():
            raise InputError(
                f"{file}: expected {count} files, got {extra.name!r} as well; pack the run again"
            )


def _copy(source: IO[bytes], path: Path) -> str:
    """Write a new file and return its SHA-256."""
    digest = hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as target:
        while block := source.read(BLOCK_BYTES):
            digest.update(block)
            target.write(block)
    return digest.hexdigest()


def _check_header(file: Path, header: tarfile.TarInfo, expected: PackedFile) -> None:
    if (_kind(header), header.name, header.size) != ("file", expected.name, expected.size):
        raise InputError(
            f"{file}: expected the file {expected.name!r} of {expected.size} bytes, got the {_kind(header)} "
            f"{header.name!r} of {header.size} bytes; pack the run again"
        )


def _kind(header: tarfile.TarInfo) -> str:
    if header.type == tarfile.REGTYPE:
        return "file"
    return "link" if header.issym() or header.islnk() else "special file"


def _content(tar: tarfile.TarFile, header: tarfile.TarInfo) -> IO[bytes]:
    return cast(IO[bytes], tar.extractfile(header))  # None only for folders and devices


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return path.as_posix() == name and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _check_digest(file: Path, name: str, expected: str, found: str) -> None:
    if found != expected:
        raise InputError(
            f"{file}: {name} does not match its SHA-256: expected {expected}, got {found}; copy it again"
        )


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        tar = tarfile.open(file, "r:")  # noqa: SIM115 (its errors differ from later ones)
    except tarfile.TarError as error:
        raise _not_a_pack(file, str(error)) from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}; name a file of calvaria pack") from None
    with tar:
        try:
            yield tar
        except tarfile.TarError as error:
            raise InputError(
                f"{file}: is truncated or damaged after {tar.offset} bytes ({error}); copy it again"
            ) from None


def _not_a_pack(file: Path, reason: str) -> InputError:
    return InputError(f"{file}: expected a file that calvaria pack has written, but {reason}")
