"""Output files and folders of a command: checked before the work begins, written completely or not at all."""

import errno
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from calvaria.errors import InputError, StoreError
from calvaria.storage.store import PARTIAL
from calvaria.utils.interruption import Interrupted, postponed

PROBE_BYTES = 2**20  # about the size of an implant and its mesh
_ADVICE = {
    errno.ENOSPC: "make room, or choose another folder",
    errno.EDQUOT: "make room, or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@dataclass(frozen=True)
class Output:
    """An output file of a command."""

    option: str  # command-line option that names it
    file: Path
    content: bytes


def check_file(option: str, file: Path) -> None:
    """Check that a file can be written, by writing a probe file in the same folder.

    Raises:
        InputError: if the folder does not exist, or the file cannot be written.
    """
    with _named(option, file):
        with suppress(FileNotFoundError):
            file.lstat()  # raises if the name is too long
        if not file.parent.is_dir():
            raise InputError(f"{option} {file}: the folder {file.parent} does not exist; make it")
        if file.is_dir():
            raise InputError(f"{option} {file}: is a folder; choose another name")
        partial = _partial(file)
        with _removed(partial):
            partial.write_bytes(bytes(PROBE_BYTES))


@contextmanager
def new_file(option: str, file: Path) -> Iterator[Path]:
    """Yield a partial file that is renamed to ``file`` at the end, or deleted after an error.

    Raises:
        InputError: if the folder does not exist, or the file cannot be written.
    """
    check_file(option, file)
    partial = _partial(file)
    with _named(option, file), _removed(partial):
        yield partial
        partial.replace(file)


def write_together(outputs: list[Output]) -> None:
    """Write partial files and rename them once all are written.

    Raises:
        InputError: if a file cannot be written; no file is written then.
    """
    partials = [_partial(output.file) for output in outputs]
    with _removed(*partials):
        for output, partial in zip(outputs, partials, strict=True):
            with _named(output.option, output.file):
                partial.write_bytes(output.content)
        try:
            with postponed():
                for output, partial in zip(outputs, partials, strict=True):
                    with _named(output.option, output.file):
                        partial.replace(output.file)
        except Interrupted as interrupted:
            raise Interrupted(interrupted.signal, "all files were written") from None


def check_new(out: Path) -> None:
    """Check that an output folder is new or empty and can be created.

    Raises:
        InputError: if ``out`` exists and is not an empty folder, or cannot be written.
    """
    with _named("--out", out):
        target = out.expanduser().resolve()
        with suppress(FileNotFoundError):
            target.lstat()  # raises if the name is too long
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(
                f"--out {out}: exists and is not an empty folder; nothing was written, choose another name"
            )
        above = next(folder for folder in target.parents if folder.is_dir())
        partial = _partial(above / target.name)
        with _removed(partial):
            partial.mkdir()
            (partial / "probe").write_bytes(bytes(PROBE_BYTES))


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a folder that is renamed to ``out`` at the end, or deleted after an error.

    Raises:
        InputError: if ``out`` exists and is not an empty folder, or cannot be written.
    """
    check_new(out)
    target = out.expanduser().resolve()
    try:
        with temporary_folder("--out", out, target.parent) as partial:
            yield partial
            partial.rename(target)  # fails if the target is anything but an empty folder
    except StoreError as error:
        raise InputError(f"--out {out}: {error}") from None


@contextmanager
def temporary_folder(option: str, out: Path, parent: Path) -> Iterator[Path]:
    """Yield a folder in ``parent`` that is deleted at the end, unless it was renamed.

    Raises:
        InputError: naming the option and ``out``, if something cannot be written.
    """
    partial = _partial(parent / out.name)
    with _named(option, out), _removed(partial):
        partial.mkdir(parents=True)
        yield partial


def remove_folder(option: str, folder: Path) -> None:
    """Delete a folder; it is renamed first, so that no part of it remains under its name.

    Raises:
        InputError: naming the option, if it cannot be renamed.
    """
    partial = _partial(folder)
    with _named(option, folder), _removed(partial):
        folder.rename(partial)


def _partial(path: Path) -> Path:
    """Return a temporary path in the same folder, with a name short enough for any file system."""
    return path.with_name(f".{secrets.token_hex(4)}{PARTIAL}")


@contextmanager
def _removed(*partials: Path) -> Iterator[None]:
    """Remove partial files and folders at the end, also after an error."""
    try:
        yield
    finally:
        for partial in partials:
            # Removal fails on a read-only disk; the original error is more informative.
            with suppress(OSError):
                if partial.is_dir():
                    shutil.rmtree(partial)
                else:
                    partial.unlink(missing_ok=True)


@contextmanager
def _named(option: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        advice = _ADVICE.get(error.errno or 0, "choose another folder")
        raise InputError(f"{option} {path}: cannot be written: {why}; {advice}") from None
