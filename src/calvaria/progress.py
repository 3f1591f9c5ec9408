"""Progress: a bar in a terminal, plain lines in a log file."""

import sys
import time
from typing import Any

INTERVAL_S = 5.0


class Progress:
    """Counts what is done and now and then says how fast it goes and how long it will take."""

    def __init__(self, title: str, total: int, unit: str, done: int = 0) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self.first = done
        self.started = self.shown = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task(title, total=total, completed=done, unit=unit, note="")
            self._bar.start()

    def advance(self, note: str = "") -> None:
        """Counts one more; prints a line if the last one is a while ago or all is done."""
        self.done += 1
        if self._bar is not None:
            self._bar.update(self._task, advance=1, note=note)
            if self.done >= self.total:
                self._bar.stop()
            return
        now = time.monotonic()
        if now - self.shown < INTERVAL_S and self.done < self.total:
            return
        self.shown = now
        rate = (self.done - self.first) / max(now - self.started, 1e-9)
        left = (self.total - self.done) / rate
        parts = [
            f"{self.title}: {self.done}/{self.total} {self.unit}",
            f"{rate:.3g}/s",
            f"{left:.0f} s left",
            note,
        ]
        print(", ".join(part for part in parts if part), file=sys.stderr, flush=True)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )
