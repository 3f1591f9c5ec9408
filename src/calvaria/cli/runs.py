"""Commands for whole runs."""

from pathlib import Path
from typing import Annotated

import typer

from calvaria.cli.options import ArmName, RunDir, check_name, opened_run
from calvaria.errors import CalvariaError

app = typer.Typer()
command = app.command(rich_help_panel="Runs")


@command
def verify(run: RunDir) -> None:
    """Check every file of a finished run against its manifest."""
    from calvaria.manifest import verify
    from calvaria.paths import Run
    from calvaria.store import read_json

    faults = verify(Run(run))
    if faults:
        raise CalvariaError("\n".join(faults))
    manifest = read_json(Run(run).manifest)
    typer.echo(
        f"{run}: all {len(manifest['files'])} files are as they were written, digest {manifest['digest']}"
    )


@command
def export(
    run: RunDir,
    arm: ArmName,
    out: Annotated[Path, typer.Option(help="Folder to be made for the model.")],
) -> None:
    """Write an arm's networks into a folder of their own, for reconstruct."""
    from calvaria.reconstruction.model import export

    opened, config = opened_run(run)
    check_name(arm, config.train.arms, "--arm")
    export(opened, config, arm, out)
