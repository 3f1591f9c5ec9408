"""List the skulls of a folder: their files, ids, people and faults."""

import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol

from calvaria.errors import InputError
from calvaria.plugins.scan import Entry
from calvaria.sources.opening import reason
from calvaria.sources.volumes import VOLUMES, unknown_kind

_ENDINGS = (
    ".seg.nrrd",
    *sorted((*VOLUMES, ".dcm", ".ima"), key=len, reverse=True),
)  # the longest ending that matches is used
_HEADERS = (".nhdr", ".mhd")  # whose voxels are in a file beside them
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
_NOTES = (".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".pdf", ".html", ".xlsx")
_NOTE_NAMES = ("readme", "licence", "license", "changes", "citation", "dicomdir", "__macosx")


class Listed(Protocol):
    """A source that selects files of a folder by a pattern."""

    @property
    def path(self) -> Path:
        """The folder."""

    @property
    def pattern(self) -> str:
        """Glob pattern of files, relative to the folder."""

    @property
    def person(self) -> str | None:
        """Regular expression for skull ids whose first group is the person."""

    @property
    def limit(self) -> int | None:
        """Maximum number of skulls."""


@dataclass(frozen=True)
class Item:
    """Something in a folder that is, or should have been, a skull."""

    path: Path
    fault: str | None = None  # why it cannot be read
    stray: bool = False  # whether it is not a skull, so that its id is its whole name


def contents(name: str, source: Listed) -> list[Path]:
    """Return the paths that match the source's pattern, by name, without hidden files and notes.

    Raises:
        InputError: if the folder is missing or may not be listed, or if the pattern is malformed.
    """
    key = f"ingest.sources.{name}"
    if not source.path.is_dir():
        raise InputError(
            f"{key}.path: no such folder: {source.path}; put your skulls there, link it "
            f"(ln -s /where/they/are {source.path}) or change the path"
        )
    try:
        next(source.path.iterdir(), None)  # glob would treat an unreadable folder as empty
        files = sorted(source.path.glob(source.pattern))
    except OSError as error:
        raise InputError(f"{key}.path: {source.path}: {reason(error)}") from None
    except (ValueError, NotImplementedError) as error:
        raise InputError(
            f"{key}.pattern: {source.pattern!r} is not a valid glob pattern ({error}); write one "
            "like *.nii.gz"
        ) from None
    return [path for path in files if not is_note(path)]


def identify(path: Path) -> Item | None:
    """Return a file as a volume or a stray item; None for a folder, and for voxels beside a header."""
    lower = path.name.lower()
    try:
        path.stat()
    except OSError as error:
        where = f" (a link to {path.readlink()})" if path.is_symlink() else ""
        return Item(path, f"{path}{where}: {reason(error)}")
    if lower.endswith(VOLUMES):
        return Item(path)
    if path.is_dir() or _has_header(path):
        return None
    if lower.endswith(_ARCHIVES):
        return Item(path, _archive_fault(path), stray=True)
    return Item(path, f"{path}: {unknown_kind(path)}, or move it away", stray=True)


def entries_of(name: str, source: Listed, items: list[Item]) -> list[Entry]:
    """Return the first ``limit`` entries in the order of their ids (see `_ids`).

    Files with equal names get a fault, and their whole names as ids.

    Raises:
        InputError: if there are no items, or the expression for people is malformed or has no group.
    """
    if not items:
        raise InputError(
            f"ingest.sources.{name}: nothing in {source.path} matches {source.pattern!r} and is a skull; put "
            f"{', '.join(VOLUMES)} files there, or change path or pattern"
        )
    expression = _expression(name, source.person)
    entries = []
    for item, (id, equals) in zip(items, _ids(source.path, items), strict=True):
        fault = item.fault
        if equals and fault is None:
            fault = (
                f"{item.path}: several files have the id {_below(source.path, item.path, whole=False)} "
                f"({', '.join(map(str, equals))}), expected one; rename or remove the others"
            )
        person: str | None = id
        if expression is not None and fault is None:
            match = expression.search(id)
            person = match.group(1) if match else None
            if not person:
                fault = (
                    f"{item.path}: ingest.sources.{name}.person ({source.person}) does not match a person in "
                    f"{id}; correct the expression or rename the file"
                )
        files = (item.path,) if item.path.exists() else ()
        entries.append(Entry(f"{name}/{id}", f"{name}/{person or id}", files, fault))
    return sorted(entries, key=lambda entry: entry.id)[: source.limit]


def own_id(path: Path) -> str:
    """Return a file's name without the ending of its kind; a folder's whole name."""
    lower = path.name.lower()
    ending = next((one for one in _ENDINGS if lower.endswith(one)), "")
    return path.name if path.is_dir() else path.name[: len(path.name) - len(ending)]


def _ids(folder: Path, items: list[Item]) -> list[tuple[str, list[Path]]]:
    """Return the id of each item, and all files with that id if there are several.

    An id is the first of these that is unique: the name without its ending, the path below the folder
    without its ending, the path with its ending. Strays have the last.
    """
    short = Counter(own_id(item.path) for item in items if not item.stray)
    long = Counter(_below(folder, item.path, whole=False) for item in items)
    ids: list[tuple[str, list[Path]]] = []
    for item in items:
        below = _below(folder, item.path, whole=False)
        if item.stray or (short[own_id(item.path)] > 1 and long[below] > 1):
            equals = (
                []
                if item.stray
                else [one.path for one in items if _below(folder, one.path, whole=False) == below]
            )
            ids.append((_below(folder, item.path, whole=True), equals))
        else:
            ids.append((own_id(item.path) if short[own_id(item.path)] == 1 else below, []))
    return ids


def _below(folder: Path, path: Path, *, whole: bool) -> str:
    """Return a path below the source's folder, with or without its ending; the folder itself by its name."""
    if not path.is_relative_to(folder) or path == folder:
        return path.name
    below = path.relative_to(folder)
    return (below if whole else below.with_name(own_id(path))).as_posix()


def _has_header(path: Path) -> bool:
    """Return whether a header beside a file has its name up to a dot, as a.mhd has for a.raw."""
    parts = path.name.split(".")
    stems = (".".join(parts[:n]) for n in range(1, len(parts)))
    return any(path.with_name(stem + ending).exists() for stem in stems if stem for ending in _HEADERS)


def is_note(path: Path) -> bool:
    """Return whether a file is hidden, or text about the data rather than data."""
    lower = path.name.lower()
    return lower.startswith((".", *_NOTE_NAMES)) or lower.endswith(_NOTES)


def _expression(name: str, text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    key = f"ingest.sources.{name}.person"
    try:
        expression = re.compile(text)
    except re.error as error:
        raise InputError(f"{key}: {text!r} is not a valid regular expression ({error}); correct it") from None
    if not expression.groups:
        raise InputError(f"{key}: {text!r} has no group; put parentheses around the part that is the person")
    return expression


def _archive_fault(path: Path) -> str:
    """Return the remedy for an archive, from the names in it; nothing is unpacked."""
    if path.name.lower().endswith(".zip"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
            return f"{path}: is a damaged archive ({error}); download the data set again"
        climbing = [name for name in names if _climbs(name)]
        if climbing:
            return (
                f"{path}: is an archive that would write outside its folder ({climbing[0]}); do not unpack "
                "it, get the data set again from its publisher"
            )
    return f"{path}: is an archive, calvaria reads unpacked files only; unpack it and move it away"


def _climbs(name: str) -> bool:
    windows = PureWindowsPath(name)
    return PurePosixPath(name).is_absolute() or bool(windows.anchor) or ".." in windows.parts
