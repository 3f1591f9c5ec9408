"""Log messages of the command line, on standard error.

Every module has its own logger. Commands show messages from ``logging.INFO`` on; the Python package itself
configures nothing, so that notebooks and other programs decide what they show.
"""

import logging
import sys

from calvaria.utils.terminal import console


class PlainHandler(logging.Handler):
    """Write each message as a plain line to the current standard error, for logs of jobs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        print(self.format(record), file=sys.stderr, flush=True)


def set_up_messages() -> None:
    """Show the package's messages: with their level in a terminal, as plain lines otherwise."""
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
