"""Builders of broken inputs: each writes an input into a folder and returns its path."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.unit.builders import (
    AFFINE,
    SHAPE,
    mask,
    nifti_with,
    nrrd_text,
    ramp,
    write_nifti,
    write_nrrd,
    write_series,
    write_slice,
)

Build = Callable[[Path], Path]


def raw(name: str, content: bytes) -> Build:
    def build(where: Path) -> Path:
        (where / name).write_bytes(content)
        return where / name

    return build


def nifti(
    name: str = "bad.nii", values: np.ndarray | None = None, data: bytes | None = None, **fields
) -> Build:
    return lambda where: nifti_with(where / name, values, data, **fields)


def nrrd(name: str = "bad.nrrd", data: bytes | None = None, **lines: str | None) -> Build:
    return lambda where: nrrd_text(where / name, data, **lines)


def cut(build: Build, keep: float) -> Build:
    """Return a builder that truncates the file of another builder."""

    def built(where: Path) -> Path:
        path = build(where)
        content = path.read_bytes()
        path.write_bytes(content[: int(keep * len(content))])
        return path

    return built


def flipped(build: Build, place: float) -> Build:
    """Return a builder that changes one byte of the file of another builder."""

    def built(where: Path) -> Path:
        path = build(where)
        content = bytearray(path.read_bytes())
        content[int(place * len(content))] ^= 0x55
        path.write_bytes(content)
        return path

    return built


def saved(values: np.ndarray, affine: np.ndarray = AFFINE, name: str = "bad.nii.gz") -> Build:
    return lambda where: write_nifti(where / name, values, affine)


def noisy(name: str) -> Build:
    values = np.random.default_rng(0).integers(0, 3000, (40, 40, 40)).astype(np.int16)
    return lambda where: (write_nrrd if name.endswith("nrrd") else write_nifti)(where / name, values)


def loop(where: Path) -> Path:
    (where / "bad.nii").symlink_to(where / "other.nii")
    (where / "other.nii").symlink_to(where / "bad.nii")
    return where / "bad.nii"


def broken_link(where: Path) -> Path:
    (where / "bad.nii").symlink_to(where / "gone.nii")
    return where / "bad.nii"


def a_folder(where: Path) -> Path:
    (where / "bad.nii").mkdir()
    return where / "bad.nii"


def a_pipe(where: Path) -> Path:
    os.mkfifo(where / "bad.nii")
    return where / "bad.nii"


def archive(*names: str) -> Build:
    def build(where: Path) -> Path:
        with zipfile.ZipFile(where / "bad.zip", "w") as file:
            for name in names:
                file.writestr(name, b"x")
        return where / "bad.zip"

    return build


def outside(where: Path) -> Path:
    """Write a header whose data file exists in the parent folder."""
    (where / "in").mkdir()
    (where / "secret.raw").write_bytes(mask().tobytes("F"))
    return nrrd_text(where / "in" / "bad.nhdr", b"", data_file="../secret.raw")


def short_data(where: Path) -> Path:
    (where / "bad.raw").write_bytes(bytes(50))
    return nrrd_text(where / "bad.nhdr", b"", data_file="bad.raw")


def twice(where: Path) -> Path:
    write_nrrd(where / "bad.nrrd", mask())
    return write_nifti(where / "bad.nii", mask())


def with_nan() -> np.ndarray:
    values = mask(np.float32)
    values[0, 0, 0] = np.nan
    return values


def steps(*levels: float) -> np.ndarray:
    """Return a volume of 0 and some values."""
    values = np.zeros(SHAPE, np.float32)
    for place, level in enumerate(levels):
        values[:, place + 1] = level
    return values


def not_upright(paths: list[Path]) -> None:
    """Make rows and columns parallel, which libraries never write."""
    for path in paths:
        content = path.read_bytes()
        assert b"1\\0\\0\\0\\1\\0" in content
        path.write_bytes(content.replace(b"1\\0\\0\\0\\1\\0", b"1\\0\\0\\1\\0\\0"))


def series(change: Callable[[list[Path]], object] | None = None, **tags: str) -> Build:
    """Return a builder of a DICOM series with a change."""

    def build(where: Path) -> Path:
        folder = where / "bad"
        paths = write_series(folder, ramp(), **tags)
        if change is not None:
            change(paths)
        return folder

    return build


def slice_like(path: Path, shape: tuple[int, ...] = (5, 7), height: float = 3.0, **tags) -> None:
    write_slice(
        path, np.zeros(shape, np.int16 if len(shape) == 2 else np.uint8), position=f"0\\0\\{height}", **tags
    )


def header_only(where: Path) -> Path:
    (where / "bad").mkdir()
    return where / "bad"


def not_at_all(where: Path) -> Path:
    write_series(where / "bad", ramp(2))
    return where / "bad"
