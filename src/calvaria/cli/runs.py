"""Commands for whole runs."""

import json
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
    from calvaria.commands import verify
    from calvaria.manifest import read_manifest
    from calvaria.paths import Run

    opened = Run(run)
    found = verify.faults(opened)
    if not found and recompute:
        import numpy as np

        config, jobs = verify.choose(opened, recompute, np.random.default_rng())
        for job in jobs:
            differing = verify.recompute(opened, config, job)
            typer.echo(f"{job.name}: {'differs' if differing else 'the same'}")
            found += [f"{run / name}: comes out otherwise when it is made anew" for name in differing]
        found += verify.made_otherwise(opened, config) if found else []
    if found:
        print("calvaria: " + "\n".join(found), file=sys.stderr)
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
def ancestry(
    run: FinishedRun,
    store: Annotated[str, typer.Argument(help="A store of the run, such as inject/ldm.zarr.")],
    volume: Annotated[int, typer.Argument(help="Number of a volume in the store.", min=0)],
) -> None:
    """Say what one volume was made from, back to the real skulls.

    Prints a JSON object a line: the volume's row, that of the skull or case it was made from, and so on, and
    last those of the real skulls.
    """
    from calvaria.commands.ancestry import ancestry

    opened, config = opened_run(run)
    for row in ancestry(opened, config, store, volume):
        typer.echo(json.dumps(row, allow_nan=False))


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
