"""Shared options of commands, and functions that read them. Imports nothing heavy."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calvaria.errors import CalvariaError

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.storage.paths import Run

NO_DEFECT, CHECK_FAILED = 3, 4

# Meanings of exit codes, as listed in docs/commands.md.
EXIT_CODES = {
    0: "success",
    1: "error; standard error shows the expected and the actual value and the remedy",
    2: "invalid command line",
    NO_DEFECT: "`reconstruct`: no defect detected, nothing was written",
    CHECK_FAILED: "a check failed: `verify` (a file differs), `diff` (the data differs), `status` (a job has "
    "failed or was interrupted), `doctor` (runs would fail), `reconstruct` (the implant was written but "
    "fails a check)",
    130: "Ctrl-C; the same command resumes a training from its last checkpoint, and does the scans that "
    "`reconstruct --out-dir` has left",
}


def _names(section: str) -> Callable[[typer.Context], list[str]]:
    """Return a shell completion for the names in a config section of the run on the command line."""

    def complete(context: typer.Context) -> list[str]:
        try:
            config = opened_run(Path(context.params.get("run") or "."))[1]
        except CalvariaError:
            return []
        return list(config.fit if section == "fit" else config.train.arms)

    return complete


RunDir = Annotated[Path, typer.Option("--run", help="Directory of a run, with its config.yaml.")]
StartedRun = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run, results/NAME.")]
FinishedRun = Annotated[
    Path, typer.Argument(metavar="RUN", help="Directory of a finished run, results/NAME.")
]
Cohort = Annotated[str, typer.Option(help="Name of a family, validation, or test.")]
Family = Annotated[
    str, typer.Option(help="Name of a family in the config's fit section.", autocompletion=_names("fit"))
]
ArmName = Annotated[
    str,
    typer.Option(
        "--arm", help="Name of an arm in the config's train section.", autocompletion=_names("train")
    ),
]


def opened_run(directory: Path) -> tuple["Run", "Config"]:
    """Return a run and its config.

    Raises:
        CalvariaError: if there is no run, or its config is invalid.
    """
    from calvaria.config import load
    from calvaria.storage.paths import Run

    run = Run(directory)
    if not run.config.is_file():
        raise CalvariaError(
            f"{directory}: not a run, {run.config} is missing; expected results/NAME of a run started by "
            f"`snakemake --cores all --configfile CONFIG`"
        )
    return run, load(run.config)


def check_name(name: str, names: Collection[str], what: str) -> None:
    """Check that a name occurs in the config.

    Raises:
        CalvariaError: if it is not one of ``names``.
    """
    if name not in names:
        raise CalvariaError(f"{what}: expected one of {', '.join(names)}, got {name!r}")
