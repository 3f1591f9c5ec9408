"""Options that several commands share, and how they are read. Imports nothing heavy."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calvaria.errors import CalvariaError

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.paths import Run

RunDir = Annotated[Path, typer.Option("--run", help="Directory of the run, with its config.yaml.")]
FinishedRun = Annotated[Path, typer.Argument(help="Directory of a finished run, results/NAME.")]
Shard = Annotated[int, typer.Option(help="Number of the shard.", min=0)]
Family = Annotated[str, typer.Option(help="Name of a family of the config's fit section.")]
ArmName = Annotated[str, typer.Option("--arm", help="Name of an arm of the config's train section.")]


def opened_run(directory: Path) -> tuple["Run", "Config"]:
    """A run and its config."""
    from calvaria.config import load
    from calvaria.paths import Run

    run = Run(directory)
    return run, load(run.config)


def check_name(name: str, names: Collection[str], what: str) -> None:
    """Refuses a name that the config does not have.

    Raises:
        CalvariaError: if it is none of ``names``.
    """
    if name not in names:
        raise CalvariaError(f"{what}: the config has no {name!r}, it has {', '.join(names)}")
