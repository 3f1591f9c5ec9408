"""register: one batch of the registrations that a family is fitted to."""

from calvaria.config import Config
from calvaria.families.run_context import registration_context
from calvaria.storage.cohorts import training_population
from calvaria.storage.paths import Run
from calvaria.storage.store import write_rows
from calvaria.storage.tensors import write_tensors


def register(run: Run, config: Config, family: str, batch: int) -> None:
    """Writes ``fit/FAMILY/fields-BATCH.safetensors`` and ``registrations-BATCH.jsonl``."""
    context = registration_context(run, config, family)
    batches = config.batches(family, len(run.ingest))
    tensors, rows = config.fit[family].register(training_population(run), context, batch, batches)
    write_tensors(run.fields(family, batch), tensors)
    write_rows(run.registrations(family, batch), rows)
