"""Measure the training skulls, for the limits of the screen.

Example: calvaria limits --run results/demo
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from calvaria.pipeline import costs, reads
from calvaria.pipeline.stage import Stage

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.storage.paths import Run


def limits(run: Run, config: Config) -> None:
    """Write ``screen/limits.json``: the accepted range of every measure and the training skulls' own."""
    from calvaria.skull.measures import measure
    from calvaria.skull.screening import limits as limits_of
    from calvaria.storage.cohorts import skulls
    from calvaria.storage.store import write_json

    ids, masks = skulls(run, "training")
    training = [measure(mask, config.grid.voxels()) for mask in masks]
    accepted = limits_of(training, config.screen)
    rows = [{"id": name, **asdict(one)} for name, one in zip(ids, training, strict=True)]
    write_json(run.limits, {**accepted, "training": rows})


STAGE = Stage(
    name="limits",
    help=__doc__,
    run=limits,
    outputs=lambda run, *_: (run.limits,),
    reads=lambda config, *_: reads.section(config, "grid", "screen"),
    cost=costs.limits,
)
