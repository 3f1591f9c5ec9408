"""Commands that tell what is installed, and whether it works."""

from pathlib import Path
from typing import Annotated

import typer

from calvaria import __version__
from calvaria.cli.options import NOT_WELL

app = typer.Typer()
command = app.command(rich_help_panel="This installation")


@command
def doctor(
    directory: Annotated[Path, typer.Argument(help="Where runs would be written.")] = Path("results"),
) -> None:
    """Check whether this machine and this environment can do the work, and do it twice alike.

    Exit code 4: runs would fail. Takes some ten seconds.

    Example: calvaria doctor
    """
    from calvaria.cli.doctor import examine, text

    faults = 0
    for check in examine(directory):
        typer.echo(text(check))
        faults += check.verdict == "fault"
    typer.echo(f"\n{faults} fault(s): fix them first" if faults else "\nready")
    if faults:
        raise typer.Exit(NOT_WELL)


@command
def version() -> None:
    """Print the version.

    Example: calvaria version
    """
    typer.echo(__version__)
