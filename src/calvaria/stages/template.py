"""template: the skull in the middle of the training skulls, for a registration family of mode template."""

from calvaria.config import Config
from calvaria.families import Task, registration
from calvaria.storage.cohorts import training_population
from calvaria.storage.paths import Run


def template(run: Run, config: Config, family: str) -> None:
    """Writes ``fit/FAMILY/template.safetensors``: ``mask``, (x, y, z) uint8 on the canonical grid."""
    registration.build_template(training_population(run), Task(run, config, family))
