"""Processes share items; results do not depend on their number, and nothing stops the others."""

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from calvaria.utils.interruption import Interrupted
from calvaria.utils.processes import Crash, results

logger = logging.getLogger("calvaria.test")


@dataclass(frozen=True)
class Work:
    """Count the items of this process; the items "end" and "bug" end it."""

    seen: list[str] = field(default_factory=list)

    def __call__(self, item: str) -> tuple[str, int, int, str]:
        if item == "end":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "bug":
            os._exit(7)
        self.seen.append(item)
        logger.info("%s: %s", item, Unpicklable())
        return item * 2, os.getpid(), len(self.seen), os.environ["OMP_NUM_THREADS"]


class Unpicklable:
    def __reduce__(self) -> str:
        raise TypeError("not picklable")

    def __str__(self) -> str:
        return "arguments are inserted"


def test_every_process_keeps_its_work_and_uses_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    found = dict(results(Work(), "abcd", 1))
    assert [value[0] for value in found.values()] == ["aa", "bb", "cc", "dd"]
    assert list(found) == list("abcd")
    assert len({value[1] for value in found.values()} - {os.getpid()}) == 1
    assert [value[2:] for value in found.values()] == [(n, "1") for n in (1, 2, 3, 4)]


def test_messages_arrive_in_this_process(caplog):
    with caplog.at_level(logging.INFO, "calvaria"):
        list(results(Work(), "a", 1))
    assert [record.getMessage() for record in caplog.records] == ["a: arguments are inserted"]


def test_a_crash_loses_its_item_only():
    found = dict(results(Work(), ["a", "end", "b", "bug", "c"], 2))
    assert {item: str(one) if isinstance(one, Crash) else one[0] for item, one in found.items()} == {
        "a": "aa",
        "b": "bb",
        "c": "cc",
        "end": "its process was ended by SIGKILL",
        "bug": "its process ended with exit code 7",
    }


def test_no_items_start_no_process():
    assert list(results(Work(), [], 3)) == []


def partial(path: Path) -> int:
    """Write a partial file; wait, and remove it; ignore nothing."""
    if path.name == "first":
        return os.getpid()
    path.write_text("")
    try:
        time.sleep(60)
    finally:
        path.unlink()
    return 0


def ended(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_interruption_ends_all_processes_and_their_work_cleans_up(tmp_path):
    paths = [tmp_path / name for name in ("first", "second", "third")]
    iteration = results(partial, paths, 2)
    _, process = next(iteration)
    until(paths[1].exists)
    with pytest.raises(Interrupted):
        iteration.throw(Interrupted(signal.SIGINT))
    assert list(tmp_path.iterdir()) == []
    assert isinstance(process, int)
    assert ended(process)
