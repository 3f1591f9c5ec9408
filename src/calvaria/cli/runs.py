"""Commands for whole runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from calvaria.cli.options import ArmName, FinishedRun, RunDir, check_name, opened_run

app = typer.Typer()
command = app.command(rich_help_panel="Runs")


@command
def verify(
    run: FinishedRun,
    recompute: Annotated[
        int, typer.Option(help="Also make so many random shards anew, and compare.", min=0)
    ] = 0,
) -> None:
    """Check every file of a finished RUN against its manifest.

    Shards are made anew from what they were made from, in a directory that is deleted again; this runs where
    snakemake ran, since sources are found from there. Exit code 4: something is not as it was.
    """
    from calvaria.commands import verify as command
    from calvaria.manifest import read_manifest
    from calvaria.paths import Run

    opened = Run(run)
    faults = command.faults(opened)
    if not faults and recompute:
        import numpy as np

        for job, differing in command.recompute(opened, recompute, np.random.default_rng()):
            typer.echo(f"{job.name}: {'differs' if differing else 'the same'}")
            faults += [f"{run / path}: comes out otherwise when it is made anew" for path in differing]
    if faults:
        print("calvaria: " + "\n".join(faults), file=sys.stderr)
        raise typer.Exit(4)
    manifest = read_manifest(opened)
    typer.echo(
        f"{run}: all {len(manifest['files'])} files are as they were written, digest {manifest['digest']}"
    )


@command
def diff(run: FinishedRun, other: FinishedRun) -> None:
    """Say what differs between two finished runs, and where it started.

    Config, code, package versions, hardware, and the data stage by stage. Exit code 4: the data differs.
    """
    from calvaria.commands.diff import diff
    from calvaria.paths import Run

    same, lines = diff(Run(run), Run(other))
    typer.echo("\n".join(lines))
    if not same:
        raise typer.Exit(4)


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
