"""Options that several commands share, and how they are read. Imports nothing heavy."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calvaria.errors import CalvariaError

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.storage.paths import Run

NO_DEFECT, NOT_WELL = 3, 4

# Exit code: when. docs/commands.md shows this table.
EXIT_CODES = {
    0: "done, and all is well",
    1: "an error; the message on standard error says what was found, what was wanted and what to do",
    2: "the command line itself is wrong",
    NO_DEFECT: "`reconstruct`: no defect was found, nothing was written",
    NOT_WELL: "what was to be checked is not well: `verify` found a file that is not as it was, `diff` other "
    "data, `status` a job that has failed or was interrupted, `doctor` what would make runs fail, "
    "`reconstruct` an implant (which was written) that fails a check",
    130: "Ctrl-C; a training goes on from its last checkpoint when the same command is given again",
}


def _names(section: str) -> Callable[[typer.Context], list[str]]:
    """What the shell offers for a name of the config of the run that is already on the command line."""

    def offered(context: typer.Context) -> list[str]:
        try:
            config = opened_run(Path(context.params.get("run") or "."))[1]
        except CalvariaError:
            return []
        return list(config.fit if section == "fit" else config.train.arms)

    return offered


RunDir = Annotated[Path, typer.Option("--run", help="Directory of the run, with its config.yaml.")]
StartedRun = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run, results/NAME.")]
FinishedRun = Annotated[
    Path, typer.Argument(metavar="RUN", help="Directory of a finished run, results/NAME.")
]
Cohort = Annotated[str, typer.Option(help="Name of a family, or validation, or test.")]
Family = Annotated[
    str, typer.Option(help="Name of a family of the config's fit section.", autocompletion=_names("fit"))
]
ArmName = Annotated[
    str,
    typer.Option(
        "--arm", help="Name of an arm of the config's train section.", autocompletion=_names("train")
    ),
]


def opened_run(directory: Path) -> tuple["Run", "Config"]:
    """A run and its config.

    Raises:
        CalvariaError: if there is no run, or its config is wrong.
    """
    from calvaria.config import load
    from calvaria.storage.paths import Run

    run = Run(directory)
    if not run.config.is_file():
        raise CalvariaError(
            f"{directory}: no run there, {run.config} is missing; wanted results/NAME of a run that "
            f"`snakemake --cores all --configfile CONFIG` has begun"
        )
    return run, load(run.config)


def check_name(name: str, names: Collection[str], what: str) -> None:
    """Refuses a name that the config does not have.

    Raises:
        CalvariaError: if it is none of ``names``.
    """
    if name not in names:
        raise CalvariaError(f"{what}: the config has no {name!r}, it has {', '.join(names)}")
