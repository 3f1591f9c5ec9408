"""The stages of the workflow, each called by the rule of the same name."""

from pathlib import Path
from typing import Annotated

import typer

from calvaria.cli.options import ArmName, Family, RunDir, Shard, check_name, opened_run
from calvaria.errors import CalvariaError
from calvaria.utils.interruption import keeps_nothing

app = typer.Typer()
command = app.command(rich_help_panel="Stages, called by the workflow")


@command
def ingest(run: RunDir, shard: Shard = 0) -> None:
    """Read skulls from their sources, check them and conform them to the grid.

    Example: calvaria ingest --run results/demo --shard 0
    """
    from calvaria.stages.ingest import ingest

    ingest(*opened_run(run), shard)


@command
def sheet(run: RunDir, shard: Shard = 0) -> None:
    """Make a contact sheet of the ingested skulls.

    Example: calvaria sheet --run results/demo --shard 0
    """
    from calvaria.stages.sheet import sheet

    sheet(*opened_run(run), shard)


@command
def people(run: RunDir) -> None:
    """Find scans of the same person.

    Example: calvaria people --run results/demo
    """
    from calvaria.stages.people import people

    people(*opened_run(run))


@command
def split(run: RunDir) -> None:
    """Divide the people into training, validation and test.

    Example: calvaria split --run results/demo
    """
    from calvaria.stages.split import split

    split(*opened_run(run))


@command
def template(run: RunDir, family: Family) -> None:
    """Build the template of a registration family.

    Example: calvaria template --run results/demo --family template
    """
    from calvaria.stages.template import template

    opened, config = opened_run(run)
    check_name(family, config.fit, "--family")
    template(opened, config, family)


@command
def register(
    run: RunDir,
    family: Family,
    batch: Annotated[int, typer.Option(help="Number of the batch of registrations.", min=0)] = 0,
) -> None:
    """Register one batch of training skulls to each other, or to the template.

    Example: calvaria register --run results/demo --family registration --batch 0
    """
    from calvaria.stages.register import register

    opened, config = opened_run(run)
    check_name(family, config.fit, "--family")
    register(opened, config, family, batch)


@command
def fit(
    run: RunDir,
    family: Family,
    dry_run: Annotated[
        bool, typer.Option(help="Train a few steps, write nothing, and say what the whole would take.")
    ] = False,
) -> None:
    """Fit an augmentation family to the training skulls.

    An interrupted training goes on from its last checkpoint, and ends with the same bits.

    Example: calvaria fit --run results/demo --family vae --dry-run
    """
    from calvaria.stages.fit import dry_run as estimated
    from calvaria.stages.fit import fit

    opened, config = opened_run(run)
    check_name(family, config.fit, "--family")
    if dry_run:
        typer.echo(estimated(opened, config, family))
    else:
        fit(opened, config, family)


@command
def sample(run: RunDir, family: Family, shard: Shard = 0) -> None:
    """Draw skulls from a fitted family.

    Example: calvaria sample --run results/demo --family vae --shard 0
    """
    from calvaria.stages.sample import sample

    opened, config = opened_run(run)
    check_name(family, config.fit, "--family")
    sample(opened, config, family, shard)


@command
def limits(run: RunDir) -> None:
    """Measure the training skulls; the screen accepts what is like them.

    Example: calvaria limits --run results/demo
    """
    from calvaria.stages.limits import limits

    limits(*opened_run(run))


@command
def screen(run: RunDir, family: Family, shard: Shard = 0) -> None:
    """Reject implausible skulls of a family and redraw them.

    Example: calvaria screen --run results/demo --family vae --shard 0
    """
    from calvaria.stages.screen import screen

    opened, config = opened_run(run)
    check_name(family, config.fit, "--family")
    screen(opened, config, family, shard)


@command
def audit(run: RunDir, family: Family) -> None:
    """Compare a family's skulls with real ones that it has not learned from.

    Example: calvaria audit --run results/demo --family vae
    """
    from calvaria.stages.audit import audit

    opened, config = opened_run(run)
    check_name(family, config.fit, "--family")
    audit(opened, config, family)


@command
def inject(
    skull: Annotated[
        Path | None,
        typer.Argument(help="A complete skull as a mask, NIfTI, NRRD or MetaImage; then --recipe and --out."),
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

    Example: calvaria inject skull.nii.gz --recipe spheres --count 10 --out cases
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
        with keeps_nothing():
            from calvaria.defects.inject_skull import inject_skull

            inject_skull(skull, recipe, count or 1, seed or 0, out, config)
        typer.echo(f"{out}: {count or 1} case(s), and how each was made in defects.jsonl")


def _inject_cohort(run: Path | None, cohort: str | None, shard: int) -> None:
    from calvaria.config import HELD_OUT
    from calvaria.stages.inject import inject

    if run is None or cohort is None:
        raise CalvariaError("inject into a cohort needs --run and --cohort")
    opened, config = opened_run(run)
    check_name(cohort, [*config.fit, *HELD_OUT], "--cohort")
    inject(opened, config, cohort, shard)


@command
def train(
    run: RunDir,
    arm: ArmName,
    seed: Annotated[int, typer.Option(help="Which of the arm's networks.", min=0)] = 0,
) -> None:
    """Train a reconstruction network of an arm.

    Example: calvaria train --run results/demo --arm ldm --seed 0
    """
    from calvaria.stages.train import train

    opened, config = opened_run(run)
    check_name(arm, config.train.arms, "--arm")
    train(opened, config, arm, seed)


@command
def refine(run: RunDir) -> None:
    """Train the network that draws implants on the finer grid.

    Example: calvaria refine --run results/demo
    """
    from calvaria.stages.refine import refine

    refine(*opened_run(run))


@command
def evaluate(run: RunDir, arm: ArmName) -> None:
    """Predict the implants of the test cohort and score them.

    Example: calvaria evaluate --run results/demo --arm ldm
    """
    from calvaria.stages.evaluate import evaluate

    opened, config = opened_run(run)
    check_name(arm, config.train.arms, "--arm")
    evaluate(opened, config, arm)


@command
def report(run: RunDir) -> None:
    """Write the manifest and the report of a finished run.

    Example: calvaria report --run results/demo
    """
    from calvaria.stages.report import report

    report(*opened_run(run))
