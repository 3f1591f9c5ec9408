"""The command line: one command per stage, and those for runs and for single files.

Nothing heavy is imported before a command runs, so that ``calvaria --help`` is quick.
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
    help="Synthetic skulls with synthetic defects, and an honest comparison of what they are worth.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for part in (runs, files, installation, stages):
    app.add_typer(part.app)


def main() -> None:
    """Runs a command.

    An expected failure is one message and exit code 1; Ctrl-C is one line and 130, SIGTERM one line and 143.
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
