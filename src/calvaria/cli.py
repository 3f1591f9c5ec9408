"""The command line: one command per stage, called by the rule of the same name."""

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
Shard = Annotated[int, typer.Option(help="Number of the shard.", min=0)]
Family = Annotated[str, typer.Option(help="Name of a family of the config's fit section.")]
Cohort = Annotated[str, typer.Option(help="Name of a family, or validation, or test.")]
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
def fit(run: RunDir, family: Family) -> None:
    """Fit an augmentation family to the training skulls."""
    from calvaria.stages.fit import fit

    opened, config = _opened(run)
    _known(family, config.fit, "--family")
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
def inject(run: RunDir, cohort: Cohort, shard: Shard = 0) -> None:
    """Cut synthetic defects into skulls."""
    from calvaria.config import HELD_OUT
    from calvaria.stages.inject import inject

    opened, config = _opened(run)
    _known(cohort, [*config.fit, *HELD_OUT], "--cohort")
    inject(opened, config, cohort, shard)


@app.command()
def train(run: RunDir, arm: ArmName) -> None:
    """Train the reconstruction network of an arm."""
    from calvaria.stages.train import train

    opened, config = _opened(run)
    _known(arm, config.train.arms, "--arm")
    train(opened, config, arm)


@app.command()
def evaluate(run: RunDir, arm: ArmName) -> None:
    """Predict the implants of the test cohort and score them."""
    from calvaria.stages.evaluate import evaluate

    opened, config = _opened(run)
    _known(arm, config.train.arms, "--arm")
    evaluate(opened, config, arm)


@app.command()
def report(run: RunDir) -> None:
    """Write the manifest and the report of a finished run."""
    from calvaria.stages.report import report

    report(*_opened(run))


@app.command()
def verify(run: RunDir) -> None:
    """Check every file of a finished run against its manifest."""
    from calvaria.manifest import verify
    from calvaria.store import read_json

    faults = verify(Run(run))
    if faults:
        raise CalvariaError("\n".join(faults))
    manifest = read_json(Run(run).manifest)
    typer.echo(
        f"{run}: all {len(manifest['files'])} files are as they were written, digest {manifest['digest']}"
    )


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
