"""Reject implausible skulls of a family and redraw them.

Example: calvaria screen --run results/demo --family vae --shard 0
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from calvaria.errors import BudgetError
from calvaria.pipeline import costs, reads, roots
from calvaria.pipeline.stage import FAMILY, SHARD, Stage, sample_shards, shard_files

if TYPE_CHECKING:
    import numpy as np

    from calvaria.config import Config
    from calvaria.skull.screening import Limits
    from calvaria.storage.paths import Run
    from calvaria.storage.rows import Rejection, ScreenColumns

logger = logging.getLogger(__name__)


def screen(run: Run, config: Config, family: str, shard: int) -> None:
    """Write one shard of plausible skulls, each with its measures and the reasons of rejected draws.

    The attempt is part of a draw's seed, so a redrawn sample does not depend on the others.

    Raises:
        BudgetError: if a sample is still rejected after the last attempt.
    """
    import numpy as np

    from calvaria.families.run_context import draw_skulls
    from calvaria.plugins.family import Draw, Drawn
    from calvaria.skull.screening import Originals, screen_skull
    from calvaria.stages.sample import ancestry
    from calvaria.storage.cohorts import training_population
    from calvaria.storage.rows import Measures, Nearest
    from calvaria.storage.store import read_json, write_shard
    from calvaria.utils.progress import Progress

    grid, settings = config.grid.voxels(), config.screen
    accepted = {name: tuple(range_) for name, range_ in read_json(run.limits).items() if name != "training"}
    sampled = run.sample(family).shard_rows(shard)
    pending = [Draw(row["index"], 0) for row in sampled]
    drawn = [
        Drawn(volume, tuple(row["parents"]), row["parameters"], row["fault"])
        for row, volume in zip(sampled, run.sample(family).volumes(sampled), strict=True)
    ]
    population = training_population(run)
    originals = Originals(population.ids, population.masks)
    copies_allowed = config.fit[family].allows_copies
    done: dict[int, tuple[np.ndarray, ScreenColumns]] = {}
    rejections: dict[int, list[Rejection]] = {draw.index: [] for draw in pending}
    progress = Progress(f"screen {family} {shard}", len(pending), "skulls")
    while True:
        rejected = []
        for draw, one in zip(pending, drawn, strict=True):
            verdict = screen_skull(one.skull, grid, accepted, settings)
            nearest = originals.nearest(verdict.skull)
            copied = nearest.dice >= settings.copy_dice and not copies_allowed
            reason = one.fault or verdict.reason or (f"copy of {nearest.id}" if copied else None)
            if reason is None:
                row: ScreenColumns = {
                    **ancestry(draw, family, one),
                    "rejections": rejections[draw.index],
                    "measures": cast(Measures, asdict(verdict.measures)),
                    "nearest": cast(Nearest, asdict(nearest)),
                }
                done[draw.index] = verdict.skull, row
                progress.advance()
            else:
                rejections[draw.index].append({"attempt": draw.attempt, "reason": reason})
                rejected.append(Draw(draw.index, draw.attempt + 1))
        if not rejected:
            break
        logger.info("screen %s %d: %d accepted, %d rejected", family, shard, len(done), len(rejected))
        if rejected[0].attempt >= settings.attempts:
            raise BudgetError(_give_up(family, shard, len(rejected), rejections, accepted, settings.attempts))
        pending = rejected
        drawn = draw_skulls(run, config, family, population, pending)
    ordered = [done[index] for index in sorted(done)]
    write_shard(
        run.screen(family),
        shard,
        config.sample.count,
        config.sample.shard_size,
        grid,
        np.stack([skull for skull, _ in ordered]),
        [row for _, row in ordered],
    )


def _give_up(
    family: str,
    shard: int,
    left: int,
    rejections: dict[int, list[Rejection]],
    accepted: Limits,
    attempts: int,
) -> str:
    reasons = Counter(one["reason"] for many in rejections.values() for one in many)
    summary = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
    return (
        f"screen {family} shard {shard}: {left} of {len(rejections)} samples were rejected {attempts} times: "
        f"{summary}; accepted ranges: {accepted}; train fit.{family} longer, widen the tolerances of screen, "
        f"or raise screen.attempts"
    )


STAGE = Stage(
    name="screen",
    help=__doc__,
    run=screen,
    outputs=lambda run, family, shard: shard_files(run.screen(family), shard),
    reads=lambda config, family, shard: reads.draws(config, family, shard) | reads.section(config, "screen"),
    key=FAMILY,
    number=SHARD,
    count=sample_shards,
    roots=roots.families,
    cost=costs.screen,
    recomputable=True,
)
