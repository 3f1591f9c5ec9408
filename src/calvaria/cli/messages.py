"""Messages of the command line on standard error, through ``logging``.

Modules log with a logger of their own name. From Python nothing is set up, so that a notebook or another
program decides what it shows; a command shows every message from ``logging.INFO``.
"""

import logging
import sys

from calvaria.utils.terminal import console


class PlainHandler(logging.Handler):
    """Write each message as it is, one line in the log of a job, to the current standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        print(self.format(record), file=sys.stderr, flush=True)


def set_up_messages() -> None:
    """Show the messages of the package, with their level in a terminal, as plain lines otherwise."""
    package = logging.getLogger("calvaria")
    package.setLevel(logging.INFO)
    package.handlers = [_handler()]


def _handler() -> logging.Handler:
    terminal = console()
    if terminal is None:
        return PlainHandler()
    from rich.highlighter import NullHighlighter
    from rich.logging import RichHandler

    return RichHandler(console=terminal, highlighter=NullHighlighter(), show_time=False, show_path=False)
