"""Progress: a bar in a terminal, plain lines in a log file."""

import atexit
import sys
import time
from typing import Any

from calvaria.utils.terminal import console

# Shortest and longest interval between two lines; a log of one day has about 1500 lines.
INTERVALS_S = (5.0, 60.0)
SHARE = 0.1  # interval as a fraction of the elapsed time


class Progress:
    """Count finished items; report the rate and the remaining time at intervals."""

    def __init__(self, title: str, total: int, unit: str, done: int = 0) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self.first = done
        self.started = self.shown = time.monotonic()
        self._bar = _bar()
        if self._bar is not None:
            self._task = self._bar.add_task(title, total=total, completed=done, unit=unit, note="")
            self._bar.start()
            atexit.register(self._bar.stop)  # restore the cursor even if the work fails

    def advance(self, note: str = "") -> None:
        """Count one more item; print a line if the last one is old enough or all items are done."""
        self.done += 1
        if self._bar is not None:
            self._bar.update(self._task, advance=1, note=note)
            if self.done >= self.total:
                self._bar.stop()
            return
        now = time.monotonic()
        least, most = INTERVALS_S
        if self.done >= self.total or now - self.shown >= min(most, max(least, SHARE * (now - self.started))):
            self.shown = now
            rate = (self.done - self.first) / max(now - self.started, 1e-9)
            if self.done < self.total:
                left = f"{duration((self.total - self.done) / rate)} left"
            else:
                left = f"in {duration(now - self.started)}"
            parts = [f"{self.title}: {self.done}/{self.total} {self.unit}", f"{rate:.3g}/s", left, note]
            print(", ".join(part for part in parts if part), file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Format seconds: ``4.2 s``, ``41 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def _bar() -> Any:
    """Return a progress bar, or None if standard error is not a terminal with cursor control."""
    terminal = console()
    if terminal is None:
        return None
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=terminal,
    )
