"""What a case was designed from, kept in its folder, so that no other implant passes for it."""

import hashlib
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from calvaria import __version__
from calvaria.errors import InputError, StoreError
from calvaria.pipeline.fingerprint import code
from calvaria.pipeline.manifest import sha256
from calvaria.sources.listing import is_note
from calvaria.sources.opening import data_file_beside, open_checked, reason
from calvaria.storage.outputs import remove_folder
from calvaria.storage.store import read_json

RECORD = "case.json"
_HEADER_BYTES = 1 << 16
_DATA_FILE = re.compile(rb"^(?:data ?file *:|elementdatafile *=) *(.+?)\s*$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """Settings of a reconstruction, as in `calvaria.reconstruction.reconstruct.Options`."""

    gap_mm: float = 0.5
    least_thickness_mm: float = 2.0
    threshold_hu: float = 300.0
    series: str | None = None


@dataclass(frozen=True)
class Fingerprint:
    """All that an implant depends on, except for its scan."""

    model: str  # SHA-256 of model.json, which has those of all files of the model
    settings: Settings
    version: str
    code: str  # digest of the code that reconstructs

    @classmethod
    def of(cls, model: Path, settings: Settings) -> "Fingerprint":
        """Return that of a model and settings.

        Raises:
            InputError: if the folder is not a model.
        """
        return cls(model_digest(model), settings, __version__, code(["calvaria.reconstruction.reconstruct"]))

    def with_scan(self, scan: Path) -> dict[str, Any]:
        """Return what an implant for a scan depends on, as it is recorded.

        Raises:
            InputError: if a file of the scan cannot be read.
        """
        return {"scan": {"name": scan.name, "sha256": scan_digest(scan)}, **asdict(self)}


def model_digest(model: Path) -> str:
    """Return the SHA-256 of a model's ``model.json``, with which all of its files are checked when loaded.

    Raises:
        InputError: if there is none.
    """
    record = model / "model.json"
    if not record.is_file():
        raise InputError(f"--model {model}: has no model.json; expected a folder that calvaria export wrote")
    return _sha256(record)


def scan_digest(scan: Path) -> str:
    """Return the SHA-256 of a scan's file; of several, as of a header and its data file, one of them all.

    Raises:
        InputError: if one of them cannot be read.
    """
    files = _files(scan)
    if files == [scan]:
        return _sha256(scan)
    whole = hashlib.sha256()
    for file in files:
        whole.update(os.fsencode(file.relative_to(scan if scan.is_dir() else scan.parent)))
        whole.update(f"\0{_sha256(file)}\n".encode())
    return whole.hexdigest()


def _files(scan: Path) -> list[Path]:
    """Return the file of a scan, also the one with its voxels if that is another; or a folder's files."""
    if scan.is_dir():
        try:
            files = sorted(file for file in scan.rglob("*") if file.is_file() and not is_note(file))
            return [file for file in files if file.stat().st_size]  # empty ones are never slices
        except OSError as error:
            raise InputError(f"{scan}: {reason(error)}") from None
    if not scan.name.lower().endswith((".nrrd", ".nhdr", ".mha", ".mhd")):
        return [scan]
    with open_checked(scan) as file:
        header = re.split(rb"\r?\n\r?\n", file.read(_HEADER_BYTES))[0]
    match = _DATA_FILE.search(header)
    if match is None or match[1].upper() == b"LOCAL":
        return [scan]
    return [scan, data_file_beside(scan, match[1].decode("latin-1"))]


def _sha256(path: Path) -> str:
    try:
        open_checked(path).close()
        return sha256(path)
    except OSError as error:
        raise InputError(f"{path}: {reason(error)}") from None


@dataclass(frozen=True)
class CaseRecord:
    """The content of ``case.json``."""

    status: str
    message: str
    seconds: float
    fingerprint: dict[str, Any]
    files: dict[str, str]  # SHA-256 of every other file of the folder, by name

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file."""
        return asdict(self)


def read_record(folder: Path) -> CaseRecord | None:
    """Return the record of a case's folder; None if there is no such folder.

    Raises:
        InputError: if it is not such a folder, or if one of its files was changed.
    """
    if not folder.exists():
        return None
    try:
        record = CaseRecord(**read_json(folder / RECORD))
        files, _ = dict(record.files), dict(record.fingerprint)
    except (StoreError, OSError, TypeError, ValueError):
        raise InputError(
            f"{folder}: has no valid {RECORD}, expected a folder that calvaria reconstruct wrote; "
            "move it away"
        ) from None
    for name, digest in files.items():
        file = folder / name
        if not file.is_file() or not file.stat().st_size or _sha256(file) != digest:
            raise InputError(
                f"{file}: was changed or deleted, expected the file that calvaria reconstruct wrote; move "
                f"{folder} away to design the implant again"
            )
    return record


def remove_case(folder: Path, record: CaseRecord) -> None:
    """Delete a case's folder.

    Raises:
        InputError: if it has other files, or cannot be deleted.
    """
    own = {RECORD, *record.files}
    others = sorted(path.name for path in folder.iterdir() if path.name not in own and path.name[0] != ".")
    if others:
        raise InputError(
            f"{folder}: its scan, the model or the options have changed, so it has to be written again, but "
            f"it has other files ({', '.join(others)}); move it away"
        )
    remove_folder("--out-dir", folder)
