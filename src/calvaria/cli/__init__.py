"""The command line: one command per stage, commands for whole runs and commands for single files.

Heavy packages are imported only when a command runs, so that ``calvaria --help`` is fast.
"""

import logging
import sys

import typer

from calvaria.cli import files, installation, runs, stages
from calvaria.cli.messages import set_up_messages
from calvaria.errors import CalvariaError
from calvaria.utils.interruption import Interrupted, ignore_signals, raise_on_signals

logger = logging.getLogger(__name__)

app = typer.Typer(
    help="Synthetic skulls and cranial defects, and a benchmark of their value as training data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for part in (runs, files, installation, stages):
    app.add_typer(part.app)


def main() -> None:
    """Run a command.

    An expected failure prints one message and exits with 1; Ctrl-C exits with 130, SIGTERM with 143.
    """
    raise_on_signals()
    set_up_messages()
    try:
        app()
    except Interrupted as interrupted:
        ignore_signals()
        logger.error("calvaria: %s", interrupted)
        sys.exit(interrupted.exit_code)
    except CalvariaError as error:
        logger.error("calvaria: %s", error)
        sys.exit(1)
