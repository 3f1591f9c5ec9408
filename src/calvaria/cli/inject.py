"""The command ``inject``: defects for a cohort of a run, or for one skull."""

from pathlib import Path
from typing import Annotated

import typer

from calvaria.cli.options import check_name, opened_run
from calvaria.errors import CalvariaError
from calvaria.utils.interruption import nothing_written_on_interrupt


def inject(
    skull: Annotated[
        Path | None,
        typer.Argument(help="Mask of a complete skull: NIfTI, NRRD or MetaImage; with --recipe and --out."),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Directory of a run; with --cohort.")] = None,
    cohort: Annotated[str | None, typer.Option(help="Name of a family, validation, or test.")] = None,
    shard: Annotated[int | None, typer.Option(help="Index of the shard; 0 by default.", min=0)] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Kind of recipe, such as spheres, or a name in --config.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="Number of cases; 1 by default.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed; 0 by default.", min=0)] = None,
    out: Annotated[Path | None, typer.Option(help="New folder for the cases.")] = None,
    config: Annotated[Path | None, typer.Option(help="Config with the recipe.")] = None,
) -> None:
    """Cut synthetic defects into one SKULL, or into the skulls of a run's cohort.

    For a SKULL, write OUT/000.nii.gz ..., label volumes on its native grid (0 background, 1 remaining bone,
    2 implant), and OUT/defects.jsonl, their parameters. OUT must not exist, or be empty.

    Example: calvaria inject skull.nii.gz --recipe spheres --count 10 --out cases
    """
    of_run = {"--run": run, "--cohort": cohort, "--shard": shard}
    of_skull = {"SKULL": skull, "--recipe": recipe, "--count": count, "--seed": seed, "--out": out}
    given = [
        [name for name, value in part.items() if value is not None]
        for part in (of_run, {**of_skull, "--config": config})
    ]
    if bool(given[0]) == bool(given[1]):
        got = f"{' '.join(given[0])} together with {' '.join(given[1])}" if given[0] else "neither"
        raise CalvariaError(
            f"inject: expected either SKULL --recipe NAME --out DIR, or --run DIR --cohort NAME; got {got}"
        )
    if given[0]:
        _inject_cohort(run, cohort, shard or 0)
    elif skull is None or recipe is None or out is None:
        raise CalvariaError(f"inject: expected SKULL, --recipe and --out; got {' '.join(given[1])}")
    else:
        with nothing_written_on_interrupt():
            from calvaria.defects.inject_skull import inject_skull

            inject_skull(skull, recipe, count or 1, seed or 0, out, config)
        typer.echo(f"{out}: {count or 1} case(s), with their parameters in defects.jsonl")


def _inject_cohort(run: Path | None, cohort: str | None, shard: int) -> None:
    from calvaria.config import HELD_OUT
    from calvaria.stages.inject import inject

    if run is None or cohort is None:
        raise CalvariaError("inject: expected both --run and --cohort")
    opened, config = opened_run(run)
    check_name(cohort, [*config.fit, *HELD_OUT], "--cohort")
    inject(opened, config, cohort, shard)
