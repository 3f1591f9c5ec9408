"""Progress is readable in a terminal and in a log, for any duration of the work."""

import os
import pty
import re
import subprocess
import sys
from itertools import pairwise

import pytest

from calvaria.utils import progress
from calvaria.utils.progress import Progress, duration


@pytest.fixture
def clock(monkeypatch):
    """A clock that only tests advance."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_of_a_day_is_not_flooded_and_never_silent(clock, capsys):
    """100,000 steps in a day give about 1500 lines, the first soon, without gaps of over a minute."""
    steps, day = 100_000, 24 * 3600.0
    counter = Progress("fit vae", steps, "steps")
    for step in range(steps):
        clock[0] = day * (step + 1) / steps
        counter.advance("loss 0.5")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) < 1700
    done = [int(line.split()[2].split("/")[0]) for line in lines]
    assert done[0] * day / steps < 7
    gaps = [(b - a) * day / steps for a, b in pairwise(done)]
    assert max(gaps) < 62
    assert lines[-1] == "fit vae: 100000/100000 steps, 1.16/s, in 24 h 00 min, loss 0.5"


def test_what_was_done_before_does_not_count_as_speed(clock, capsys):
    counter = Progress("fit vae", 100, "steps", done=90)
    clock[0] = 10.0
    counter.advance()
    assert capsys.readouterr().err == "fit vae: 91/100 steps, 0.1/s, 90 s left\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.41, "0.4 s"),
        (9.97, "10 s"),
        (99, "99 s"),
        (99.6, "2 min"),
        (125, "2 min"),
        (7800, "2 h 10 min"),
        (11_100, "3 h 05 min"),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def in_terminal(code: str, **environment: str) -> str:
    """Return the output of a Python program to a terminal."""
    ours, theirs = pty.openpty()
    settings = {**os.environ, "TERM": "xterm-256color", **environment}
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=theirs, stdout=theirs, env=settings
    ) as process:
        os.close(theirs)
        written = b""
        try:
            while chunk := os.read(ours, 4096):
                written += chunk
        except OSError:  # the other end is closed
            pass
        process.wait()
    os.close(ours)
    return written.decode()


FAILS = """
from calvaria.utils.progress import Progress
counter = Progress("ingest", 3, "skulls")
counter.advance()
raise SystemExit("calvaria: no more")
"""


def test_a_terminal_gets_a_bar_and_its_cursor_back_when_the_work_fails():
    written = in_terminal(FAILS)
    assert "ingest" in written
    assert "calvaria: no more" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor was not given back"
    assert re.search(r"\x1b\[[0-9;]*3\dm|\x1b\[38", written), "a bar has colours"


def test_no_color_is_honoured():
    written = in_terminal(FAILS, NO_COLOR="1")
    assert "ingest" in written
    assert not re.search(r"\x1b\[[0-9;]*[349]\dm|\x1b\[[34]8", written)


def test_a_terminal_that_cannot_move_its_cursor_gets_lines():
    assert "ingest: 3/3 skulls" in in_terminal(
        "from calvaria.utils.progress import Progress\n"
        "counter = Progress('ingest', 3, 'skulls')\n"
        "for _ in range(3): counter.advance()",
        TERM="dumb",
    )
