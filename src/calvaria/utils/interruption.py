"""Ctrl-C and SIGTERM: a command ends with one line, the conventional exit code, and no partial files.

A training completes its step and writes a checkpoint; all other commands end at once, since files are written
atomically. Python handles no signal while ANTs computes, so a command ends after the current registration.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The command was interrupted. Derives from BaseException so that only the command line catches it."""

    def __init__(self, number: int, outcome: str | None = None) -> None:
        self.signal = signal.Signals(number)
        self.outcome = outcome
        super().__init__(f"stopped by {self.signal.name}; {outcome or 'run the same command again to go on'}")

    @property
    def exit_code(self) -> int:
        """130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.signal


def raise_on_signals() -> None:
    """Make SIGINT and SIGTERM raise ``Interrupted``."""
    for number in SIGNALS:
        signal.signal(number, _raise)


@contextmanager
def nothing_written_on_interrupt() -> Iterator[None]:
    """State in the interruption message that nothing was written, for commands that do not resume."""
    try:
        yield
    except Interrupted as interrupted:
        raise Interrupted(interrupted.signal, interrupted.outcome or "nothing was written") from None


def ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM in a command that is about to exit."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _raise(number: int, _: FrameType | None) -> None:
    raise Interrupted(number)


@dataclass
class Stop:
    """The signal that was received, if any."""

    number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None


@contextmanager
def postponed() -> Iterator[Stop]:
    """Postpone SIGINT and SIGTERM to the end of the block."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python delivers signals only to the main thread
        return

    def remember(number: int, _: FrameType | None) -> None:
        stop.number = stop.number or number

    before = {number: signal.signal(number, remember) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stop.number is not None:
        signal.raise_signal(stop.number)
