"""The terminal, shared by messages and progress bars so that neither overwrites the other."""

import sys
from functools import cache
from typing import Any


def console() -> Any | None:
    """Return a rich console on standard error, or None if that is not a terminal with cursor control."""
    if not sys.stderr.isatty():
        return None
    shared = _console()
    return None if shared.is_dumb_terminal else shared


@cache
def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)  # honours NO_COLOR
