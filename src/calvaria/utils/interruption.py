"""Ctrl-C and SIGTERM: a command ends with one line, the exit code that shells expect, and nothing half done.

A training goes on to the end of its step and writes a checkpoint before it ends; everything else ends at
once, since files are written whole or not at all. While ANTs computes, Python hears of no signal: then a
command ends when the registration that it is at is done.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """Somebody asked the command to stop. It is no Exception, so that only the command line catches it."""

    def __init__(self, number: int, outcome: str | None = None) -> None:
        self.signal = signal.Signals(number)
        self.outcome = outcome
        super().__init__(f"stopped by {self.signal.name}; {outcome or 'run the same command again to go on'}")

    @property
    def exit_code(self) -> int:
        """130 or 143."""
        return 128 + self.signal


def raise_on_signals() -> None:
    """Make SIGINT and SIGTERM raise ``Interrupted``."""
    for number in SIGNALS:
        signal.signal(number, _raise)


@contextmanager
def keeps_nothing() -> Iterator[None]:
    """Say of a command that starts from the beginning each time that an interruption left nothing behind."""
    try:
        yield
    except Interrupted as interrupted:
        raise Interrupted(interrupted.signal, interrupted.outcome or "nothing was written") from None


def ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM, in a command that is about to exit."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _raise(number: int, _: FrameType | None) -> None:
    raise Interrupted(number)


@dataclass
class Stop:
    """The signal that asked to stop, if any."""

    number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None


@contextmanager
def postponed() -> Iterator[Stop]:
    """Postpone SIGINT and SIGTERM to the end of the block."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals only ever reach the main thread
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
