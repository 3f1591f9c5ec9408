"""The command line: one command per stage, called by the rule of the same name."""

import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from calvaria import __version__
from calvaria.config import Config, load
from calvaria.errors import CalvariaError
from calvaria.paths import Run

app = typer.Typer(
    help="Synthetic skulls with synthetic defects, and an honest comparison of what they are worth.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RunDir = Annotated[Path, typer.Option("--run", help="Directory of the run, with its config.yaml.")]
FinishedRun = Annotated[Path, typer.Argument(help="Directory of a finished run, results/NAME.")]
Shard = Annotated[int, typer.Option(help="Number of the shard.", min=0)]
Family = Annotated[str, typer.Option(help="Name of a family of the config's fit section.")]
ArmName = Annotated[str, typer.Option("--arm", help="Name of an arm of the config's train section.")]


def _opened(directory: Path) -> tuple[Run, Config]:
    run = Run(directory)
    return run, load(run.config)


def _known(name: str, names: Collection[str], what: str) -> None:
    if name not in names:
        raise CalvariaError(f"{what}: the config has no {name!r}, it has {', '.join(names)}")


@app.command()
def ingest(run: RunDir, shard: Shard = 0) -> None:
    """Read skulls from their sources, check them and conform them to the grid."""
    from calvaria.stages.ingest import ingest

    ingest(*_opened(run), shard)


@app.command()
def sheet(run: RunDir, shard: Shard = 0) -> None:
    """Make a contact sheet of the ingested skulls."""
    from calvaria.stages.sheet import sheet

    sheet(*_opened(run), shard)


@app.command()
def people(run: RunDir) -> None:
    """Find scans of the same person."""
    from calvaria.stages.people import people

    people(*_opened(run))


@app.command()
def split(run: RunDir) -> None:
    """Divide the people into training, validation and test."""
    from calvaria.stages.split import split

    split(*_opened(run))


@app.command()
def template(run: RunDir, family: Family) -> None:
    """Build the template of a registration family."""
    from calvaria.stages.template import template

    opened, config = _opened(run)
    _known(family, config.fit, "--family")
    template(opened, config, family)


@app.command()
def register(run: RunDir, family: Family, batch: Shard = 0) -> None:
    """Register one batch of training skulls to each other, or to the template."""
    from calvaria.stages.register import register

    opened, config = _opened(run)
    _known(family, config.fit, "--family")
    register(opened, config, family, batch)


@app.command()
def fit(
    run: RunDir,
    family: Family,
    dry_run: Annotated[
        bool, typer.Option(help="Train a few steps, write nothing, and say what the whole would take.")
    ] = False,
) -> None:
    """Fit an augmentation family to the training skulls.

    An interrupted training goes on from its last checkpoint, and ends with the same bits.
    """
    from calvaria.stages.fit import dry_run as estimated
    from calvaria.stages.fit import fit

    opened, config = _opened(run)
    _known(family, config.fit, "--family")
    if dry_run:
        typer.echo(estimated(opened, config, family))
    else:
        fit(opened, config, family)


@app.command()
def sample(run: RunDir, family: Family, shard: Shard = 0) -> None:
    """Draw skulls from a fitted family."""
    from calvaria.stages.sample import sample

    opened, config = _opened(run)
    _known(family, config.fit, "--family")
    sample(opened, config, family, shard)


@app.command()
def limits(run: RunDir) -> None:
    """Measure the training skulls; the screen accepts what is like them."""
    from calvaria.stages.limits import limits

    limits(*_opened(run))


@app.command()
def screen(run: RunDir, family: Family, shard: Shard = 0) -> None:
    """Reject implausible skulls of a family and redraw them."""
    from calvaria.stages.screen import screen

    opened, config = _opened(run)
    _known(family, config.fit, "--family")
    screen(opened, config, family, shard)


@app.command()
def audit(run: RunDir, family: Family) -> None:
    """Compare a family's skulls with real ones that it has not learned from."""
    from calvaria.stages.audit import audit

    opened, config = _opened(run)
    _known(family, config.fit, "--family")
    audit(opened, config, family)


@app.command()
def inject(
    skull: Annotated[
        Path | None, typer.Argument(help="A complete skull, NIfTI or NRRD; then --recipe and --out.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Directory of a run; then --cohort.")] = None,
    cohort: Annotated[str | None, typer.Option(help="Name of a family, or validation, or test.")] = None,
    shard: Annotated[int | None, typer.Option(help="Number of the shard, 0 if not given.", min=0)] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Kind of recipe, such as spheres; or a name in --config.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="How many cases, 1 if not given.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the draws, 0 if not given.", min=0)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to be made for the cases.")] = None,
    config: Annotated[Path | None, typer.Option(help="Config that has the recipe.")] = None,
) -> None:
    """Cut synthetic defects into one SKULL, or into those of a run's cohort.

    Of a SKULL it writes OUT/000.nii.gz ..., label volumes on the skull's own grid (0 background, 1 remaining
    bone, 2 implant), and OUT/defects.jsonl, which says how each was made. OUT must not exist or be empty.
    """
    of_run = {"--run": run, "--cohort": cohort, "--shard": shard}
    of_skull = {"SKULL": skull, "--recipe": recipe, "--count": count, "--seed": seed, "--out": out}
    given = [
        [name for name, value in part.items() if value is not None]
        for part in (of_run, {**of_skull, "--config": config})
    ]
    if bool(given[0]) == bool(given[1]):
        found = f"{' '.join(given[0])} together with {' '.join(given[1])}" if given[0] else "neither"
        raise CalvariaError(
            f"inject takes either SKULL --recipe NAME --out DIR, or --run DIR --cohort NAME; got {found}"
        )
    if given[0]:
        _inject_cohort(run, cohort, shard or 0)
    elif skull is None or recipe is None or out is None:
        raise CalvariaError(f"inject of one skull needs SKULL, --recipe and --out; got {' '.join(given[1])}")
    else:
        from calvaria.commands.inject_skull import inject_skull

        inject_skull(skull, recipe, count or 1, seed or 0, out, config)


def _inject_cohort(run: Path | None, cohort: str | None, shard: int) -> None:
    from calvaria.config import HELD_OUT
    from calvaria.stages.inject import inject

    if run is None or cohort is None:
        raise CalvariaError("inject into a cohort needs --run and --cohort")
    opened, config = _opened(run)
    _known(cohort, [*config.fit, *HELD_OUT], "--cohort")
    inject(opened, config, cohort, shard)


@app.command()
def train(
    run: RunDir,
    arm: ArmName,
    seed: Annotated[int, typer.Option(help="Which of the arm's networks.", min=0)] = 0,
) -> None:
    """Train a reconstruction network of an arm."""
    from calvaria.stages.train import train

    opened, config = _opened(run)
    _known(arm, config.train.arms, "--arm")
    train(opened, config, arm, seed)


@app.command()
def refine(run: RunDir) -> None:
    """Train the network that draws implants on the finer grid."""
    from calvaria.stages.refine import refine

    refine(*_opened(run))


@app.command()
def evaluate(run: RunDir, arm: ArmName) -> None:
    """Predict the implants of the test cohort and score them."""
    from calvaria.stages.evaluate import evaluate

    opened, config = _opened(run)
    _known(arm, config.train.arms, "--arm")
    evaluate(opened, config, arm)


@app.command()
def score(
    prediction: Annotated[Path, typer.Option(help="Mask of the predicted implant, NIfTI or NRRD.")],
    reference: Annotated[Path, typer.Option(help="Mask of the real implant, on the same grid.")],
    defective: Annotated[Path, typer.Option(help="Mask of the defective skull, on the same grid.")],
) -> None:
    """Score one predicted implant: prints one JSON object.

    Distances are in mm; null stands for an infinite one, as JSON has none: that of an empty prediction.
    Files whose shapes differ, or whose corners lie more than 0.01 mm apart, are an error: nothing is
    resampled.
    """
    from calvaria.commands.score import score_files

    typer.echo(json.dumps(score_files(prediction, reference, defective), allow_nan=False))


@app.command()
def export(
    run: RunDir,
    arm: ArmName,
    out: Annotated[Path, typer.Option(help="Folder to be made for the model.")],
) -> None:
    """Write an arm's networks into a folder of their own, for reconstruct."""
    from calvaria.reconstruction.model import export

    opened, config = _opened(run)
    _known(arm, config.train.arms, "--arm")
    export(opened, config, arm, out)


@app.command()
def reconstruct(
    scan: Annotated[Path, typer.Argument(help="A CT, a folder of DICOM slices, or a mask of bone.")],
    out: Annotated[Path, typer.Option(help="The implant as a mask on the input's grid: .nii.gz or .nii.")],
    model: Annotated[
        Path | None, typer.Option(help="Folder that calvaria export wrote; if none, the pretrained model.")
    ] = None,
    stl: Annotated[
        Path | None, typer.Option(help="The implant as a mesh to be printed: .stl or .ply.")
    ] = None,
    checks: Annotated[Path | None, typer.Option("--json", help="What was found and checked: .json.")] = None,
    gap_mm: Annotated[float, typer.Option(help="Gap between mesh and bone.", min=0)] = 0.5,
    thickness_mm: Annotated[float, typer.Option(help="Least thickness that passes.", min=0)] = 2.0,
    threshold_hu: Annotated[float, typer.Option(help="Least density of bone in a CT.")] = 300.0,
) -> None:
    """Design the implant for one skull. For research; not a medical device.

    The verdict of every check is printed. Exit code 0: an implant that passes them all; 1: an error, nothing
    was written; 3: no defect found, nothing was written; 4: an implant that fails a check.
    """
    from calvaria.commands.reconstruct import NoDefectError, Wanted, reconstruct
    from calvaria.reconstruction.pretrained import pretrained

    try:
        found = reconstruct(
            scan, model or pretrained(), Wanted(out, stl, checks, gap_mm, thickness_mm, threshold_hu)
        )
    except NoDefectError as error:
        print(f"calvaria: {error}", file=sys.stderr)
        raise typer.Exit(3) from None
    typer.echo(json.dumps(found, indent=2))
    if not found["passed"]:
        raise typer.Exit(4)


@app.command()
def report(run: RunDir) -> None:
    """Write the manifest and the report of a finished run."""
    from calvaria.stages.report import report

    report(*_opened(run))


@app.command()
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


@app.command()
def diff(run: FinishedRun, other: FinishedRun) -> None:
    """Say what differs between two finished runs, and where it started.

    Config, code, package versions, hardware, and the data stage by stage. Exit code 4: the data differs.
    """
    from calvaria.commands.diff import diff

    same, lines = diff(Run(run), Run(other))
    typer.echo("\n".join(lines))
    if not same:
        raise typer.Exit(4)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Runs a command; an expected failure is one message and exit code 1."""
    try:
        app()
    except CalvariaError as error:
        print(f"calvaria: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
