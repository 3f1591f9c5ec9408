"""Commands for whole runs."""

import json
import logging
import time
from pathlib import Path
from typing import Annotated

import click
import typer

from calvaria.cli.options import NOT_WELL, ArmName, FinishedRun, RunDir, StartedRun, check_name, opened_run
from calvaria.errors import CalvariaError
from calvaria.utils.interruption import keeps_nothing

logger = logging.getLogger(__name__)

app = typer.Typer()
command = app.command(rich_help_panel="Runs")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead, for programs.")]
WATCH_S = 2.0


@command
def estimate(
    config: Annotated[Path, typer.Argument(help="A config file.")],
    cores: Annotated[int | None, typer.Option(help="Cores to count with, all if not given.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a run would take: jobs, hours, gigabytes. Starts nothing.

    Example: calvaria estimate workflow/presets/skullfix.yaml --cores 16
    """
    from dataclasses import asdict

    from calvaria.config import load
    from calvaria.pipeline import estimate
    from calvaria.stages import STAGES

    loaded = load(config)
    found = estimate.estimate(STAGES, loaded, estimate.source_kinds(loaded))
    typer.echo(json.dumps(asdict(found), indent=1) if as_json else estimate.text(found, cores))


@command
def status(
    run: StartedRun,
    watch: Annotated[bool, typer.Option(help="Show it again and again, until Ctrl-C or the end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what of a run is done, running, failed and left. Reads only.

    Exit code 4: a job has failed or was interrupted and does not run again.

    Example: calvaria status results/demo --watch
    """
    from calvaria.pipeline import status
    from calvaria.stages import STAGES

    opened, config = opened_run(run)
    while True:
        found = status.status(STAGES, opened, config)
        if watch:
            click.clear()
        typer.echo(status.as_json(found) if as_json else status.text(opened, config, found))
        if not watch or all(one.state == "done" for one in found):
            break
        time.sleep(WATCH_S)
    if any(one.state in ("failed", "interrupted") for one in found):
        raise typer.Exit(NOT_WELL)


@command
def verify(
    run: FinishedRun,
    recompute: Annotated[
        int, typer.Option(help="Also recompute so many random shards, and compare.", min=0)
    ] = 0,
) -> None:
    """Check every file of a finished RUN against its manifest.

    Shards are recomputed from their inputs in a temporary directory; this runs where
    snakemake ran, since sources are found from there. Exit code 4: something is not as it was.

    Example: calvaria verify results/demo --recompute 3
    """
    from calvaria.pipeline import verify
    from calvaria.pipeline.manifest import read_manifest
    from calvaria.stages import STAGES
    from calvaria.storage.paths import Run

    opened = Run(run)
    found = verify.faults(opened)
    if not found and recompute:
        import numpy as np

        config, jobs = verify.choose(STAGES, opened, recompute, np.random.default_rng())
        for job in jobs:
            differing = verify.recompute(opened, config, job)
            typer.echo(f"{job.name}: {'differs' if differing else 'the same'}")
            found += [f"{run / name}: differs when recomputed" for name in differing]
        found += verify.made_otherwise(opened, config) if found else []
    if found:
        logger.error("calvaria: %s", "\n".join(found))
        raise typer.Exit(NOT_WELL)
    manifest = read_manifest(opened)
    typer.echo(
        f"{run}: all {len(manifest['files'])} files are as they were written, digest {manifest['digest']}"
    )


@command
def diff(run: FinishedRun, other: FinishedRun) -> None:
    """Say what differs between two finished runs, and where it started.

    Config, code, package versions, hardware, and the data stage by stage. Exit code 4: the data differs.

    Example: calvaria diff results/demo results/other
    """
    from calvaria.pipeline.diff import diff
    from calvaria.stages import STAGES
    from calvaria.storage.paths import Run

    same, lines = diff(STAGES, Run(run), Run(other))
    typer.echo("\n".join(lines))
    if not same:
        raise typer.Exit(NOT_WELL)


@command
def ancestry(
    run: FinishedRun,
    store: Annotated[str, typer.Argument(help="A store of the run, such as inject/ldm.zarr.")],
    volume: Annotated[int, typer.Argument(help="Number of a volume in the store.", min=0)],
) -> None:
    """Say what one volume was made from, back to the real skulls.

    Prints a JSON object a line: the volume's row, that of the skull or case it was made from, and so on, and
    last those of the real skulls.

    Example: calvaria ancestry results/demo inject/ldm.zarr 7
    """
    from calvaria.pipeline.lineage import ancestry

    opened, config = opened_run(run)
    for row in ancestry(opened, config, store, volume):
        typer.echo(json.dumps(row, allow_nan=False))


@command
@keeps_nothing()
def export(
    run: RunDir,
    arm: ArmName,
    out: Annotated[Path, typer.Option(help="Folder to be made for the model.")],
) -> None:
    """Write an arm's networks into a folder of their own, for reconstruct.

    Example: calvaria export --run results/demo --arm ldm --out model
    """
    from calvaria.reconstruction.export.model import export

    opened, config = opened_run(run)
    check_name(arm, config.train.arms, "--arm")
    export(opened, config, arm, out)
    typer.echo(f"{out}: the networks of the arm {arm}, for calvaria reconstruct --model {out}")


@command
@keeps_nothing()
def publish(
    run: FinishedRun,
    out: Annotated[Path, typer.Option(help="Directory to be made for the data set.")],
    licence: Annotated[str, typer.Option(help="Licence of the data set, by its SPDX identifier.")],
    author: Annotated[list[str], typer.Option(help="Who publishes it; may be given several times.")],
    source_licence: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE=SPDX", help="Licence of a source; one for each that reads files."),
    ] = None,
    real: Annotated[
        bool, typer.Option("--real", help="Also publish real skulls, if their licences allow it.")
    ] = False,
    title: Annotated[str | None, typer.Option(help="Title of the data set.")] = None,
    number: Annotated[str, typer.Option("--version", help="Version of the data set.")] = "1.0.0",
    url: Annotated[str | None, typer.Option(help="Where it will be found.")] = None,
) -> None:
    """Write the data set of a finished RUN into a directory that stands for itself.

    Packed Zarr stores of synthetic skulls and cases with their rows, a manifest, a data-set card, a Croissant
    description, a RO-Crate and checksums. Real skulls, and cases made from them, are left out without --real.
    OUT must not exist or be empty.

    Example: calvaria publish results/demo --out published/demo --licence CC0-1.0 --author "A. Author"
    """
    from calvaria.publishing.publish import publish
    from calvaria.publishing.terms import Terms

    opened, config = opened_run(run)
    pairs = [pair.partition("=") for pair in source_licence or []]
    for name, _, found in pairs:
        if not (name and found):
            raise CalvariaError(f"--source-licence {name}: wanted SOURCE=SPDX, such as fix=CC-BY-NC-SA-4.0")
    terms = Terms(
        licence=licence,
        sources={name: found for name, _, found in pairs},
        authors=tuple(author),
        title=title or f"Synthetic skulls with cranial defects: {config.name}",
        version=number,
        url=url,
    )
    typer.echo(f"{out}: digest {publish(opened, config, out, terms, real)}")
