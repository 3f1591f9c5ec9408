"""Build the template of a registration family.

Example: calvaria template --run results/demo --family template
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calvaria.pipeline import costs, reads, roots
from calvaria.pipeline.stage import FAMILY, Stage

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.storage.paths import Run


def template(run: Run, config: Config, family: str) -> None:
    """Write ``fit/FAMILY/template.safetensors``: ``mask``, (x, y, z) uint8 on the canonical grid."""
    from calvaria.families.run_context import new_context
    from calvaria.storage.cohorts import training_population
    from calvaria.storage.tensors import write_tensors

    context = new_context(run, config, family)
    mask = config.fit[family].build_template(training_population(run), context)
    write_tensors(run.template(family), {"mask": mask})


def _with_template(config: Config) -> list[str]:
    return [name for name, family in config.fit.items() if family.builds_template]


STAGE = Stage(
    name="template",
    help=__doc__,
    run=template,
    outputs=lambda run, family, _: (run.template(family),),
    reads=reads.registrations,
    key=FAMILY,
    names=_with_template,
    roots=roots.families,
    cost=costs.template,
)
