"""fit: one augmentation family learns from the training skulls."""

from calvaria.config import Config
from calvaria.families import Model, Task, family_module, save_model
from calvaria.storage.cohorts import training_population
from calvaria.storage.paths import Run


def fit(run: Run, config: Config, family: str) -> None:
    """Writes ``fit/FAMILY``: ``model.safetensors``, ``fit.json`` and, for networks, ``steps.jsonl``."""
    task = Task(run, config, family)
    module = family_module(task.settings.kind)
    trained = hasattr(module, "training")
    if trained:
        from calvaria.training.workers import is_main, launched

        if launched(config):
            return
    population = training_population(run)
    model = module.fit(population, task)
    if trained and not is_main():
        return
    record = {"family": family, "kind": task.settings.kind, "training": list(population.ids), **model.record}
    save_model(run.fit(family), Model(model.tensors, record))
    if trained:
        from calvaria.families.networks.models import place_of
        from calvaria.training.loop import forget

        forget(place_of(task))


def dry_run(run: Run, config: Config, family: str) -> str:
    """What fitting a family would take: parameters, peak memory and time, from a few steps at full size."""
    task = Task(run, config, family)
    module = family_module(task.settings.kind)
    if not hasattr(module, "training"):
        return f"fit {family}: a family of kind {task.settings.kind} trains no network"
    from calvaria.training.device import prepare_device
    from calvaria.training.estimate import estimate

    optimiser = task.settings.optimiser
    training = module.training(training_population(run), task)
    found = estimate(training, config, optimiser.accumulate, prepare_device(config))
    return f"fit {family}: {found.text(optimiser.steps)}"
