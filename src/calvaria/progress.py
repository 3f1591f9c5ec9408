"""Progress as plain lines, the same in a terminal and in a log file."""

import sys
import time

INTERVAL_S = 5.0


class Progress:
    """Counts what is done and now and then says how fast it goes and how long it will take."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0
        self.started = self.shown = time.monotonic()

    def advance(self, note: str = "") -> None:
        """Counts one more; prints a line if the last one is a while ago or all is done."""
        self.done += 1
        now = time.monotonic()
        if now - self.shown < INTERVAL_S and self.done < self.total:
            return
        self.shown = now
        rate = self.done / max(now - self.started, 1e-9)
        left = (self.total - self.done) / rate
        parts = [
            f"{self.title}: {self.done}/{self.total} {self.unit}",
            f"{rate:.3g}/s",
            f"{left:.0f} s left",
            note,
        ]
        print(", ".join(part for part in parts if part), file=sys.stderr, flush=True)
