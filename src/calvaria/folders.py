"""A folder that a command makes: whole, or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calvaria.errors import InputError, StoreError


def check_new(out: Path) -> None:
    """Refuses what is in use, before long work.

    Raises:
        InputError: if ``out`` exists and is no empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: exists and is no empty folder; nothing was written, choose another")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which is moved to ``out`` at the end; after a fault nothing is left.

    Raises:
        InputError: if ``out`` exists and is no empty folder, or cannot be written.
    """
    check_new(out)
    target = out.expanduser().resolve()
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.rename(target)  # onto nothing, or onto an empty folder; anything else is refused
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror or error}") from None
    except StoreError as error:
        raise InputError(f"--out {out}: {error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
