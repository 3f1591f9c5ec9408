"""register: one batch of the registrations that a family is fitted to."""

from calvaria.config import Config
from calvaria.families import Task, registration
from calvaria.storage.cohorts import training_population
from calvaria.storage.paths import Run


def register(run: Run, config: Config, family: str, batch: int) -> None:
    """Writes ``fit/FAMILY/fields-BATCH.safetensors`` and ``registrations-BATCH.jsonl``."""
    registration.register(training_population(run), Task(run, config, family), batch)
