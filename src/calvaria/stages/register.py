"""Register one batch of training skulls to each other, or to the template.

Example: calvaria register --run results/demo --family registration --batch 0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calvaria.pipeline import costs, reads, roots
from calvaria.pipeline.stage import BATCH, FAMILY, Stage

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.storage.paths import Run


def register(run: Run, config: Config, family: str, batch: int) -> None:
    """Write ``fit/FAMILY/fields-BATCH.safetensors`` and ``registrations-BATCH.jsonl``."""
    from calvaria.families.run_context import registration_context
    from calvaria.storage.cohorts import training_population
    from calvaria.storage.store import write_rows
    from calvaria.storage.tensors import write_tensors

    context = registration_context(run, config, family)
    batches = config.batches(family, len(run.ingest))
    tensors, rows = config.fit[family].register(training_population(run), context, batch, batches)
    write_tensors(run.fields(family, batch), tensors)
    write_rows(run.registrations(family, batch), rows)


STAGE = Stage(
    name="register",
    help=__doc__,
    run=register,
    outputs=lambda run, family, batch: (run.fields(family, batch), run.registrations(family, batch)),
    reads=reads.registrations,
    key=FAMILY,
    number=BATCH,
    count=lambda config, family, skulls: config.batches(family, skulls),
    roots=roots.families,
    cost=costs.register,
)
