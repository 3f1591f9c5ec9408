"""Outputs of a command are checked in advance, and written completely or not at all."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from calvaria.errors import InputError, StoreError
from calvaria.storage.outputs import (
    PROBE_BYTES,
    Output,
    check_file,
    check_new,
    new_file,
    new_folder,
    write_together,
)
from calvaria.storage.store import write_atomically
from calvaria.utils.interruption import Interrupted, nothing_written_on_interrupt, raise_on_signals

LONGEST = 255  # bytes of a name on common file systems


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@contextmanager
def read_only() -> Iterator[None]:
    """Simulate a read-only disk, since permissions do not restrict root."""
    with pytest.MonkeyPatch.context() as patch:
        for step in ("write_bytes", "mkdir", "unlink", "replace"):
            patch.setattr(Path, step, failing(errno.EROFS))
        yield


def full(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Simulate a disk that is full after a number of bytes of a file."""
    write = Path.write_bytes

    def some(path: Path, content: bytes) -> int:
        write(path, content[:room])
        if len(content) > room:
            failing(errno.ENOSPC)()
        return len(content)

    monkeypatch.setattr(Path, "write_bytes", some)


def test_a_new_file_is_written_completely_or_not_at_all(tmp_path):
    file = tmp_path / "a.tar"
    words = r"--out .*a\.tar: cannot be written: No space left"
    with pytest.raises(InputError, match=words), new_file("--out", file):
        failing(errno.ENOSPC)()
    assert not any(tmp_path.iterdir())
    with new_file("--out", file) as partial:
        partial.write_bytes(b"whole")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"whole"]


def test_a_read_only_folder_is_named_before_and_after(tmp_path):
    """The error is not hidden by the failing cleanup."""
    words = "cannot be written: Read-only file system; choose another folder$"
    with read_only(), pytest.raises(InputError, match=rf"--out .*a\.nii: {words}"):
        check_file("--out", tmp_path / "a.nii")
    with read_only(), pytest.raises(InputError, match=rf"--stl .*a\.stl: {words}"):
        write_together([Output("--stl", tmp_path / "a.stl", b"mesh")])
    with read_only(), pytest.raises(InputError, match=rf"--out .*cases: {words}"):
        check_new(tmp_path / "cases")
    with (
        read_only(),
        pytest.raises(StoreError, match=r"a\.onnx: cannot be written \(Read-only file system\)"),
    ):
        write_atomically(tmp_path / "a.onnx", b"network")


def test_a_full_disk_is_named_before_the_work(tmp_path, monkeypatch):
    full(monkeypatch, PROBE_BYTES - 1)
    for check in (lambda: check_file("--out", tmp_path / "a.nii"), lambda: check_new(tmp_path / "cases")):
        with pytest.raises(
            InputError, match=r"--out .*: cannot be written: No space left on device; make room"
        ):
            check()
    assert list(tmp_path.iterdir()) == []


def test_any_legal_name_works_and_a_longer_one_is_named(tmp_path):
    for length in (LONGEST - 17, LONGEST - 5, LONGEST):
        name = "a" * (length - 4) + ".nii"
        check_file("--out", tmp_path / name)
        write_together([Output("--out", tmp_path / name, b"implant")])
        write_atomically(tmp_path / name, b"another")
        check_new(tmp_path / ("b" * length))
        with new_folder(tmp_path / ("b" * length)):
            pass
    assert len(list(tmp_path.iterdir())) == 6
    for check in (lambda name: check_file("--out", name), check_new):
        with pytest.raises(
            InputError, match=r"--out .*: cannot be written: File name too long; choose a shorter name"
        ):
            check(tmp_path / ("a" * (LONGEST + 1)))


def test_trying_leaves_what_is_there_and_makes_nothing(tmp_path):
    (tmp_path / "old.nii").write_text("old")
    (tmp_path / "empty").mkdir()
    check_file("--out", tmp_path / "old.nii")
    check_file("--out", tmp_path / "new.nii")
    check_new(tmp_path / "empty")
    check_new(tmp_path / "new" / "cases")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "old.nii"]
    assert (tmp_path / "old.nii").read_text() == "old"


@pytest.mark.parametrize("failing_file", [0, 1])
def test_files_are_written_together_or_not_at_all(tmp_path, monkeypatch, failing_file):
    names = ["a.nii", "a.stl"]
    for name in names:
        (tmp_path / name).write_text("old")
    contents = [bytes(9), bytes(9)]
    contents[failing_file] = bytes(99)
    options = ("--out", "--stl")
    outputs = [Output(o, tmp_path / n, c) for o, n, c in zip(options, names, contents, strict=True)]
    with monkeypatch.context() as patch:
        full(patch, 50)
        with pytest.raises(InputError, match=f"{options[failing_file]} .*: cannot be written: No space"):
            write_together(outputs)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(names, "old")
    write_together(outputs)
    assert [(tmp_path / name).read_bytes() for name in names] == contents


@pytest.fixture
def signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    raise_on_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_an_interrupted_command_says_whether_anything_was_written(tmp_path, monkeypatch):
    """Once renaming has started, all files are renamed."""
    outputs = [Output("--out", tmp_path / name, b"new") for name in ("a", "b")]
    write, move = Path.write_bytes, Path.replace
    with monkeypatch.context() as patch:
        patch.setattr(
            Path,
            "write_bytes",
            lambda path, content: write(path, content) and signal.raise_signal(signal.SIGINT),
        )
        with (
            pytest.raises(Interrupted, match=r"^stopped by SIGINT; nothing was written$"),
            nothing_written_on_interrupt(),
        ):
            write_together(outputs)
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *to: signal.raise_signal(signal.SIGTERM) or move(*to))
        with (
            pytest.raises(Interrupted, match=r"^stopped by SIGTERM; all files were written$"),
            nothing_written_on_interrupt(),
        ):
            write_together(outputs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.usefixtures("signals")
def test_an_interrupted_stage_can_go_on():
    with pytest.raises(Interrupted, match=r"^stopped by SIGINT; run the same command again to go on$"):
        signal.raise_signal(signal.SIGINT)
