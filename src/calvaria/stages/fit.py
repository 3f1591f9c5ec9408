"""fit: one augmentation family learns from the training skulls."""

from typing import cast

from calvaria.config import Config
from calvaria.families.network_family import NetworkFamily
from calvaria.families.run_context import fit_context
from calvaria.plugins.family import Model
from calvaria.storage.cohorts import training_population
from calvaria.storage.models import save_model
from calvaria.storage.paths import Run


def fit(run: Run, config: Config, family: str) -> None:
    """Writes ``fit/FAMILY``: ``model.safetensors``, ``fit.json`` and, for networks, ``steps.jsonl``."""
    settings = config.fit[family]
    if settings.trains_network:
        from calvaria.training.workers import is_main, launched

        if launched(config):
            return
    population = training_population(run)
    context, workspace = fit_context(run, config, family)
    model = settings.fit(population, context)
    if settings.trains_network and not is_main():
        return
    record = {"family": family, "kind": settings.kind, "training": list(population.ids), **model.record}
    save_model(run.fit(family), Model(model.tensors, record))
    workspace.checkpoint.unlink(missing_ok=True)


def dry_run(run: Run, config: Config, family: str) -> str:
    """What fitting a family would take: parameters, peak memory and time, from a few steps at full size."""
    settings = config.fit[family]
    if not settings.trains_network:
        return f"fit {family}: a family of kind {settings.kind} trains no network"
    from calvaria.training.device import prepare_device
    from calvaria.training.estimate import estimate

    context, _ = fit_context(run, config, family)
    training = settings.training(training_population(run), context)
    optimiser = cast(NetworkFamily, settings).optimiser
    found = estimate(training, config, optimiser.accumulate, prepare_device(config))
    return f"fit {family}: {found.text(optimiser.steps)}"
