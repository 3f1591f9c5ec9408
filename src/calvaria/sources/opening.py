"""Opens a file, or says in the user's words why that cannot be done."""

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
    """Opens a regular file that is not empty; the caller closes it.

    Raises:
        InputError: if it is missing, empty, a folder, a device, or may not be read.
    """
    try:
        # Looked at before it is opened: opening a named pipe would wait for ever.
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise InputError(f"{path}: is a folder, wanted a file; move the volumes out of it")
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path}: is a device or pipe, wanted a regular file; copy its content to one")
        if found.st_size == 0:
            raise InputError(f"{path}: is empty, it has 0 bytes; download or export it again")
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: {reason(error)}") from None


def reason(error: OSError) -> str:
    """Why a file cannot be read and what to do."""
    text = f"cannot be read ({error.strerror or error}); check the disk or download it again"
    return _REASONS.get(error.errno or 0, text)
