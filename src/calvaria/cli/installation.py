"""Commands that check the installation."""

from pathlib import Path
from typing import Annotated

import typer

from calvaria import __version__
from calvaria.cli.options import CHECK_FAILED

app = typer.Typer()
command = app.command(rich_help_panel="This installation")


@command
def doctor(
    directory: Annotated[Path, typer.Argument(help="Directory of runs.")] = Path("results"),
) -> None:
    """Check the installation, the machine and the reproducibility of results.

    Takes about ten seconds. Exit code 4: runs would fail.

    Example: calvaria doctor
    """
    from calvaria.cli.doctor import examine, text

    errors = 0
    for check in examine(directory):
        typer.echo(text(check))
        errors += check.verdict == "error"
    typer.echo(f"\n{errors} error(s): fix these first" if errors else "\nready")
    if errors:
        raise typer.Exit(CHECK_FAILED)


@command
def version() -> None:
    """Print the version.

    Example: calvaria version
    """
    typer.echo(__version__)
