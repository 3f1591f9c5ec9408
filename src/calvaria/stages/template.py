"""template: the skull in the middle of the training skulls, for a registration family of mode template."""

from calvaria.config import Config
from calvaria.families.run_context import new_context
from calvaria.storage.cohorts import training_population
from calvaria.storage.paths import Run
from calvaria.storage.tensors import write_tensors


def template(run: Run, config: Config, family: str) -> None:
    """Writes ``fit/FAMILY/template.safetensors``: ``mask``, (x, y, z) uint8 on the canonical grid."""
    context = new_context(run, config, family)
    mask = config.fit[family].build_template(training_population(run), context)
    write_tensors(run.template(family), {"mask": mask})
