"""The stages of the workflow: one command per stage in ``STAGES``, called by the rule of the same name."""

from collections.abc import Callable
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import typer

from calvaria.cli.inject import inject
from calvaria.cli.options import ArmName, Cohort, Family, RunDir, check_name, opened_run
from calvaria.pipeline.stage import Stage
from calvaria.stages import STAGES

KEYS: dict[str, Any] = {"family": Family, "arm": ArmName, "cohort": Cohort}
OTHERWISE = {"inject": inject}  # commands that do more than run their stage
DryRun = Annotated[bool, typer.Option(help="Train a few steps and estimate memory and time; writes nothing.")]

app = typer.Typer()


def add_stage(app: typer.Typer, stage: Stage) -> None:
    """Add the command of a stage."""
    panel = "Stages, called by the workflow"
    if stage.name in OTHERWISE:
        app.command(stage.name, rich_help_panel=panel)(OTHERWISE[stage.name])
    else:
        app.command(stage.name, help=stage.help, rich_help_panel=panel)(_command(stage))


def _command(stage: Stage) -> Callable[..., None]:
    """Return the command of a stage; its signature declares the options to Typer."""

    def command(run: Path, dry_run: bool = False, **given: Any) -> None:
        opened, config = opened_run(run)
        name = given[stage.key.option] if stage.key else ""
        if stage.key:
            check_name(name, stage.key.names(config), f"--{stage.key.option}")
        arguments = stage.arguments(name, given[stage.number.option] if stage.number else 0)
        if dry_run and stage.dry_run:
            typer.echo(stage.dry_run(opened, config, *arguments))
        else:
            stage.run(opened, config, *arguments)

    parameters = [_parameter("run", RunDir)]
    if stage.key:
        parameters.append(_parameter(stage.key.option, KEYS[stage.key.option]))
    if stage.number:
        number = Annotated[int, typer.Option(help=stage.number.help, min=0)]
        parameters.append(_parameter(stage.number.option, number, 0))
    if stage.dry_run:
        parameters.append(_parameter("dry_run", DryRun, False))
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _parameter(name: str, annotation: Any, default: Any = Parameter.empty) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


for stage in STAGES:
    add_stage(app, stage)
