"""Open a file, or report why it cannot be opened."""

import errno
import stat
from pathlib import Path
from typing import IO

from calvaria.errors import InputError

_REASONS = {
    errno.ENOENT: "no such file; check the path",
    errno.ELOOP: "is a link that leads back to itself; remove it or link the file itself",
    errno.EACCES: "may not be read (permission denied); ask its owner, or chmod u+r",
    errno.ENAMETOOLONG: "its name is too long for this file system; rename it",
}


def open_checked(path: Path) -> IO[bytes]:
    """Open a regular file that is not empty; the caller closes it.

    Raises:
        InputError: if it is missing, empty, a folder, a device, or may not be read.
    """
    try:
        # Checked before opening: opening a named pipe would wait indefinitely.
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{path}: is a folder, expected a file; give one of the files in it")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: is a device or pipe, expected a regular file; copy its content to one")
        if status.st_size == 0:
            raise InputError(f"{path}: is empty, it has 0 bytes; download or export it again")
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: {reason(error)}") from None


def reason(error: OSError) -> str:
    """Return the reason why a file cannot be read, and the remedy."""
    text = f"cannot be read ({error.strerror or error}); check the disk or download it again"
    return _REASONS.get(error.errno or 0, text)


def data_file_beside(header: Path, name: str) -> Path:
    """Return the file with the voxels of a detached header; files outside of its folder are never read.

    Raises:
        InputError: if the file is outside, or a list of files.
    """
    if name.startswith("LIST") or "%" in name:
        raise InputError(f"{header}: its voxels are in a list of files, expected one; export it as one file")
    # A file that is itself a link is accepted, as its author chose the target.
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(
            f"{header}: its data file {name} is outside the header's folder, expected one beside it; move it "
            "there and correct the header"
        )
    return header.parent / name
