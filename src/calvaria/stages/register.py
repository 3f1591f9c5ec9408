"""template and register: what a registration family needs before it is fitted, in jobs of their own."""

from calvaria.config import Config
from calvaria.families import Task, registration
from calvaria.paths import Run
from calvaria.stages.split import training_population


def template(run: Run, config: Config, family: str) -> None:
    """Writes ``fit/FAMILY/template.safetensors``: the mask in the middle of the training skulls."""
    registration.build_template(training_population(run), Task(run, config, family))


def register(run: Run, config: Config, family: str, batch: int) -> None:
    """Writes ``fit/FAMILY/fields-BATCH.safetensors`` and ``registrations-BATCH.jsonl``."""
    registration.register(training_population(run), Task(run, config, family), batch)
