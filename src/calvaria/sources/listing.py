"""Lists the skulls of a folder: which files count, their ids, whose they are, and what is wrong with them."""

import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from calvaria.config.ingest import CtSource, FolderSource
from calvaria.errors import InputError
from calvaria.sources import Entry
from calvaria.sources.opening import reason

VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr")
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
_NOTES = (".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".pdf", ".html", ".xlsx")
_NOTE_NAMES = ("readme", "licence", "license", "changes", "citation", "dicomdir", "__macosx")


@dataclass(frozen=True)
class Item:
    """Something in a folder that is, or should have been, a skull."""

    path: Path
    fault: str | None = None  # why it cannot be read
    stray: bool = False  # whether it is no skull at all, so that its id is its whole name


def contents(name: str, source: FolderSource | CtSource) -> list[Path]:
    """What matches the source's pattern, in the order of names, without hidden files and notes.

    Raises:
        InputError: if the folder is missing or may not be listed, or if the pattern is no pattern.
    """
    key = f"ingest.sources.{name}"
    if not source.path.is_dir():
        raise InputError(
            f"{key}.path: no such folder: {source.path}; put your skulls there, link it "
            f"(ln -s /where/they/are {source.path}) or change the path"
        )
    try:
        next(source.path.iterdir(), None)  # glob would take a folder that may not be listed as empty
        found = sorted(source.path.glob(source.pattern))
    except OSError as error:
        raise InputError(f"{key}.path: {source.path}: {reason(error)}") from None
    except (ValueError, NotImplementedError) as error:
        raise InputError(
            f"{key}.pattern: {source.pattern!r} is no pattern for files in {source.path} ({error}); write "
            "one like *.nii.gz"
        ) from None
    return [path for path in found if not is_note(path)]


def identify(path: Path) -> Item | None:
    """A file as a volume or as something stray; None for a folder, and for the voxels of a .nhdr file."""
    lower = path.name.lower()
    try:
        path.stat()
    except OSError as error:
        where = f" (a link to {path.readlink()})" if path.is_symlink() else ""
        return Item(path, f"{path}{where}: {reason(error)}")
    if lower.endswith(VOLUMES):
        return Item(path)
    if path.is_dir() or path.with_name(f"{own_id(path)}.nhdr").exists():
        return None
    if lower.endswith(_ARCHIVES):
        return Item(path, _archive_fault(path), stray=True)
    return Item(
        path,
        f"{path}: unknown kind of file, wanted {', '.join(VOLUMES)}; convert it or move it away",
        stray=True,
    )


def entries_of(name: str, source: FolderSource | CtSource, items: list[Item]) -> list[Entry]:
    """Entries in the order of their ids, the first ``limit`` of them; ids are file names up to the first dot.

    Files with the same id get a fault, and their whole names as ids.

    Raises:
        InputError: if there are no items, or the expression for people is none or has no group.
    """
    if not items:
        raise InputError(
            f"ingest.sources.{name}: nothing in {source.path} matches {source.pattern!r} and is a skull; put "
            f"{', '.join(VOLUMES)} files there, or change path or pattern"
        )
    expression = _expression(name, source.person)
    ids = Counter(own_id(item.path) for item in items if not item.stray)
    found = []
    for item in items:
        fault, own = item.fault, own_id(item.path)
        if item.stray or ids[own] > 1:
            own = item.path.relative_to(source.path).as_posix() if item.path != source.path else own
        if not item.stray and ids[own_id(item.path)] > 1:
            others = [str(other.path) for other in items if own_id(other.path) == own_id(item.path)]
            fault = fault or (
                f"{item.path}: several files have the id {own_id(item.path)} ({', '.join(others)}), wanted "
                "one; rename or remove the others"
            )
        person: str | None = own
        if expression is not None and fault is None:
            match = expression.search(own)
            person = match.group(1) if match else None
            if not person:
                fault = (
                    f"{item.path}: ingest.sources.{name}.person ({source.person}) finds no person in {own}; "
                    "correct the expression or rename the file"
                )
        files = (item.path,) if item.path.exists() else ()
        found.append(Entry(f"{name}/{own}", f"{name}/{person or own}", files, fault))
    return sorted(found, key=lambda entry: entry.id)[: source.limit]


def own_id(path: Path) -> str:
    """A name up to its first dot."""
    return path.name.split(".", 1)[0]


def is_note(path: Path) -> bool:
    """Whether a file is hidden, or text about the data rather than data."""
    lower = path.name.lower()
    return lower.startswith((".", *_NOTE_NAMES)) or lower.endswith(_NOTES)


def _expression(name: str, text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    key = f"ingest.sources.{name}.person"
    try:
        expression = re.compile(text)
    except re.error as error:
        raise InputError(f"{key}: {text!r} is no regular expression ({error}); correct it") from None
    if not expression.groups:
        raise InputError(f"{key}: {text!r} has no group; put parentheses around the part that is the person")
    return expression


def _archive_fault(path: Path) -> str:
    """What to do with an archive; its names are looked at, nothing is unpacked."""
    if path.name.lower().endswith(".zip"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
            return f"{path}: is a damaged archive ({error}); get the data set again from its publisher"
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
