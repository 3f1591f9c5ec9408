"""Commands for whole runs."""

import json
import logging
import time
from pathlib import Path
from typing import Annotated

import click
import typer

from calvaria.cli.options import (
    CHECK_FAILED,
    ArmName,
    FinishedRun,
    RunDir,
    StartedRun,
    check_name,
    opened_run,
)
from calvaria.errors import CalvariaError
from calvaria.utils.interruption import nothing_written_on_interrupt

logger = logging.getLogger(__name__)

app = typer.Typer()
command = app.command(rich_help_panel="Runs")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WATCH_S = 2.0


@command
def estimate(
    config: Annotated[Path, typer.Argument(help="Config file.")],
    cores: Annotated[int | None, typer.Option(help="Number of cores; all by default.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Estimate jobs, hours and gigabytes of a run, without starting it.

    Example: calvaria estimate workflow/presets/skullfix.yaml --cores 16
    """
    from dataclasses import asdict

    from calvaria.config import load
    from calvaria.pipeline import estimate
    from calvaria.stages import STAGES

    loaded = load(config)
    estimated = estimate.estimate(STAGES, loaded, estimate.skull_sources(loaded))
    typer.echo(json.dumps(asdict(estimated), indent=1) if as_json else estimate.text(estimated, cores))


@command
def status(
    run: StartedRun,
    watch: Annotated[bool, typer.Option(help="Refresh until the run ends or Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show which jobs of a run are done, running, failed and left. Writes nothing.

    Exit code 4: a job has failed, or was interrupted and is not running again.

    Example: calvaria status results/demo --watch
    """
    from calvaria.pipeline import status
    from calvaria.stages import STAGES

    opened, config = opened_run(run)
    while True:
        jobs = status.status(STAGES, opened, config)
        if watch:
            click.clear()
        typer.echo(status.as_json(jobs) if as_json else status.text(opened, config, jobs))
        if not watch or all(job.state == "done" for job in jobs):
            break
        time.sleep(WATCH_S)
    if any(job.state in ("failed", "interrupted") for job in jobs):
        raise typer.Exit(CHECK_FAILED)


@command
def verify(
    run: FinishedRun,
    recompute: Annotated[
        int, typer.Option(help="Number of random shards to recompute and compare.", min=0)
    ] = 0,
) -> None:
    """Check every file of a finished RUN against its manifest.

    With --recompute, also recompute random shards from their inputs in a temporary directory and compare.
    Run it where snakemake ran, since paths of sources are relative to that directory. Exit code 4: a file
    differs.

    Example: calvaria verify results/demo --recompute 3
    """
    from calvaria.pipeline import verify
    from calvaria.pipeline.manifest import read_manifest
    from calvaria.stages import STAGES
    from calvaria.storage.paths import Run

    opened = Run(run)
    faults = verify.faults(opened)
    if not faults and recompute:
        import numpy as np

        config, jobs = verify.choose(STAGES, opened, recompute, np.random.default_rng())
        for job in jobs:
            differing = verify.recompute(opened, config, job)
            typer.echo(f"{job.name}: {'differs' if differing else 'the same'}")
            faults += [f"{run / name}: differs when recomputed" for name in differing]
        faults += verify.environment_changes(opened, config) if faults else []
    if faults:
        logger.error("calvaria: %s", "\n".join(faults))
        raise typer.Exit(CHECK_FAILED)
    manifest = read_manifest(opened)
    typer.echo(f"{run}: all {len(manifest['files'])} files match the manifest, digest {manifest['digest']}")


@command
def diff(run: FinishedRun, other: FinishedRun) -> None:
    """Compare two finished runs and show the first job that differs.

    Compares config, code, package versions, hardware, and the data by stage. Exit code 4: the data differs.

    Example: calvaria diff results/demo results/other
    """
    from calvaria.pipeline.diff import diff
    from calvaria.stages import STAGES
    from calvaria.storage.paths import Run

    same, lines = diff(STAGES, Run(run), Run(other))
    typer.echo("\n".join(lines))
    if not same:
        raise typer.Exit(CHECK_FAILED)


@command
def pool(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished runs, one per fold.")],
    out: Annotated[Path, typer.Option(help="The report, an HTML file.")],
) -> None:
    """Pool the folds of a cross-validation into one report, in which every person is tested once.

    Example: calvaria pool results/mine-0 results/mine-1 results/mine-2 --out results/mine.html
    """
    from calvaria.report.pooled import write_pooled_report

    folds, people = write_pooled_report(runs, out)
    typer.echo(f"{out}: {people} test people of {folds} folds")


@command
def ancestry(
    run: FinishedRun,
    store: Annotated[str, typer.Argument(help="Store of the run, such as inject/ldm.zarr.")],
    volume: Annotated[int, typer.Argument(help="Index of a volume in the store.", min=0)],
) -> None:
    """Show the lineage of one volume, back to the real skulls.

    Prints one JSON object per line: the volume's row, the row of the volume that it derives from, and so on,
    up to the real skulls.

    Example: calvaria ancestry results/demo inject/ldm.zarr 7
    """
    from calvaria.pipeline.lineage import ancestry

    opened, config = opened_run(run)
    for row in ancestry(opened, config, store, volume):
        typer.echo(json.dumps(row, allow_nan=False))


@command
@nothing_written_on_interrupt()
def pack(
    run: StartedRun,
    out: Annotated[Path, typer.Option(help="New file.")],
) -> None:
    """Pack a RUN, finished or not, into one file, to go on with it on another machine of the same kind.

    Packs finished results, checkpoints of trainings, finished registrations, logs, and Snakemake's records,
    but not the outputs of jobs that have not ended. Stop snakemake before.

    Example: calvaria pack results/demo --out demo.tar
    """
    from calvaria.pipeline.pack import pack
    from calvaria.stages import STAGES

    opened, config = opened_run(run)
    typer.echo(f"{out}: {pack(STAGES, opened, config, out)} files; restore them with calvaria unpack {out}")


@command
@nothing_written_on_interrupt()
def unpack(
    file: Annotated[Path, typer.Argument(help="File written by calvaria pack.")],
    into: Annotated[
        Path, typer.Option(help="Directory where snakemake will run; the run goes to results/NAME in it.")
    ] = Path(),
) -> None:
    """Restore a packed run, completely or not at all, and check every file against its SHA-256.

    Copy the source scans first: Snakemake would ingest later ones again. Hardware or versions other than
    those of the packing machine are reported.

    Example: calvaria unpack demo.tar --into work
    """
    from calvaria.pipeline.pack import unpack

    run, differences = unpack(file, into)
    if differences:
        logger.warning(
            "calvaria: this machine differs from the one that packed the run, so results may differ, too; "
            "the same bytes are guaranteed only on the same hardware and versions\n%s",
            "\n".join(differences),
        )
    typer.echo(f"{run.root}: restored; the same snakemake command goes on with it")


@command
@nothing_written_on_interrupt()
def export(
    run: RunDir,
    arm: ArmName,
    out: Annotated[Path, typer.Option(help="New folder for the model.")],
) -> None:
    """Export an arm's networks into a folder for reconstruct.

    Example: calvaria export --run results/demo --arm ldm --out model
    """
    from calvaria.reconstruction.export.model import export

    opened, config = opened_run(run)
    check_name(arm, config.train.arms, "--arm")
    export(opened, config, arm, out)
    typer.echo(f"{out}: networks of the arm {arm}; use them with calvaria reconstruct --model {out}")


@command
@nothing_written_on_interrupt()
def publish(
    run: FinishedRun,
    out: Annotated[Path, typer.Option(help="New directory for the data set.")],
    licence: Annotated[str, typer.Option(help="Licence of the data set, an SPDX identifier.")],
    author: Annotated[list[str], typer.Option(help="Author; may be repeated.")],
    source_licence: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE=SPDX", help="Licence of a source; required for every source of files."),
    ] = None,
    real: Annotated[
        bool, typer.Option("--real", help="Also publish real skulls, if their licences permit it.")
    ] = False,
    title: Annotated[str | None, typer.Option(help="Title of the data set.")] = None,
    number: Annotated[str, typer.Option("--version", help="Version of the data set.")] = "1.0.0",
    url: Annotated[str | None, typer.Option(help="URL of the data set.")] = None,
) -> None:
    """Write the data set of a finished RUN into a self-contained directory.

    It contains packed Zarr stores of synthetic skulls and cases with their rows, a manifest, a data-set card,
    a Croissant description, a RO-Crate and checksums. Real skulls and cases derived from them are included
    only with --real. OUT must not exist, or be empty.

    Example: calvaria publish results/demo --out published/demo --licence CC0-1.0 --author "A. Author"
    """
    from calvaria.publishing.publish import publish
    from calvaria.publishing.terms import Terms

    opened, config = opened_run(run)
    pairs = [pair.partition("=") for pair in source_licence or []]
    for pair, (name, _, identifier) in zip(source_licence or [], pairs, strict=True):
        if not (name and identifier):
            raise CalvariaError(f"--source-licence {pair}: expected SOURCE=SPDX, such as fix=CC-BY-NC-SA-4.0")
    terms = Terms(
        licence=licence,
        sources={name: identifier for name, _, identifier in pairs},
        authors=tuple(author),
        title=title or f"Synthetic skulls with cranial defects: {config.name}",
        version=number,
        url=url,
    )
    typer.echo(f"{out}: digest {publish(opened, config, out, terms, real)}")
