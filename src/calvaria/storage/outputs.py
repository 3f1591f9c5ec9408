"""Files and folders that a command makes: tried before the work begins, and written whole or not at all."""

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

TRIED_BYTES = 2**20  # about what an implant and its mesh take
_ADVICE = {
    errno.ENOSPC: "make room, or choose another folder",
    errno.EDQUOT: "make room, or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@dataclass(frozen=True)
class Output:
    """A file that a command makes."""

    option: str  # of the command line that names it
    file: Path
    content: bytes


def check_file(option: str, file: Path) -> None:
    """Write a file of some size beside a file to come, and remove it.

    Raises:
        InputError: if there is no such folder, or the file cannot be written.
    """
    with _named(option, file):
        with suppress(FileNotFoundError):
            file.lstat()  # of a name that is too long
        if not file.parent.is_dir():
            raise InputError(f"{option} {file}: the folder {file.parent} does not exist; make it")
        if file.is_dir():
            raise InputError(f"{option} {file}: is a folder; choose another name")
        partial = _partial(file)
        with _removed(partial):
            partial.write_bytes(bytes(TRIED_BYTES))


def write_together(outputs: list[Output]) -> None:
    """Write files beside their places, and move them there once all are written.

    Raises:
        InputError: if one cannot be written; then none is.
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
    """Refuse a folder that is in use or cannot be made, before long work.

    Raises:
        InputError: if ``out`` exists and is not an empty folder, or cannot be written.
    """
    with _named("--out", out):
        target = out.expanduser().resolve()
        with suppress(FileNotFoundError):
            target.lstat()  # of a name that is too long
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(
                f"--out {out}: exists and is not an empty folder; nothing was written, choose another name"
            )
        above = next(folder for folder in target.parents if folder.is_dir())
        partial = _partial(above / target.name)
        with _removed(partial):
            partial.mkdir()
            (partial / "tried").write_bytes(bytes(TRIED_BYTES))


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which is moved to ``out`` at the end; after a fault nothing is left.

    Raises:
        InputError: if ``out`` exists and is not an empty folder, or cannot be written.
    """
    check_new(out)
    target = out.expanduser().resolve()
    partial = _partial(target)
    try:
        with _named("--out", out), _removed(partial):
            partial.mkdir(parents=True)
            yield partial
            partial.rename(target)  # onto nothing, or onto an empty folder; anything else is refused
    except StoreError as error:
        raise InputError(f"--out {out}: {error}") from None


def _partial(path: Path) -> Path:
    """A short name beside a path, so that it is never too long where the path is not."""
    return path.with_name(f".{secrets.token_hex(4)}{PARTIAL}")


@contextmanager
def _removed(*partials: Path) -> Iterator[None]:
    """Remove what is left of partial files and folders, whatever happens."""
    try:
        yield
    finally:
        for partial in partials:
            # Where nothing can be removed, such as on a read-only disk, the error that led here counts.
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
