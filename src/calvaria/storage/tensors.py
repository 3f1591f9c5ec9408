"""Named arrays on disk as safetensors: nothing is unpickled, and corruption is always detected.

The header has the SHA-256 of every array under ``sha256``, which other readers of safetensors can ignore.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from calvaria.errors import StoreError
from calvaria.storage.store import write_atomically

CHECKSUMS = "sha256"  # a single key, because safetensors does not fix the order of header keys


def write_tensors(path: Path, tensors: dict[str, np.ndarray], about: str = "") -> None:
    """Write named arrays, atomically.

    Args:
        about: text for the header, returned by ``read_about``.
    """
    from safetensors.numpy import save

    # safetensors writes the memory of an array regardless of its strides.
    ordered = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    sums = {"": _sha256(about.encode()), **{name: _sha256(value) for name, value in sorted(ordered.items())}}
    header = {CHECKSUMS: json.dumps(sums), **({"about": about} if about else {})}
    write_atomically(path, save(ordered, header))


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of a file.

    Raises:
        StoreError: if the file is missing or damaged.
    """
    with _opened(path) as file:
        sums = _sums(file)
        if set(sums) - {""} != set(file.keys()):
            raise ValueError("names of arrays and checksums differ")
        return {name: _checked(file, name, sums) for name in file.keys()}  # noqa: SIM118


def read_tensor(path: Path, name: str) -> np.ndarray:
    """Read one array of a file.

    Raises:
        StoreError: if the file is missing, or the array is missing or damaged.
    """
    with _opened(path) as file:
        return _checked(file, name, _sums(file))


def read_about(path: Path) -> str:
    """Read the text of the header, empty if there is none.

    Raises:
        StoreError: if the file is missing, or the text damaged.
    """
    with _opened(path) as file:
        about: str = (file.metadata() or {}).get("about", "")
        if _sha256(about.encode()) != _sums(file)[""]:
            raise ValueError("the text of the header does not match its checksum")
        return about


def _sums(file: Any) -> dict[str, str]:
    """Return the checksums of all arrays by name, and under an empty name that of the header's text."""
    sums: dict[str, str] = json.loads((file.metadata() or {})[CHECKSUMS])
    return sums


def _checked(file: Any, name: str, sums: dict[str, str]) -> np.ndarray:
    value = np.asarray(file.get_tensor(name))
    if _sha256(value) != sums[name]:
        raise ValueError(f"{name} does not match its checksum")
    return value


def _sha256(content: np.ndarray | bytes) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else content.tobytes()).hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            yield file
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; run the stage that makes it") from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise StoreError(f"{path}: damaged ({error}); delete it and run again") from None
