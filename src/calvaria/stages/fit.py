"""fit: one augmentation family learns from the training skulls."""

from calvaria.config import Config
from calvaria.families import Model, Task, family_module, save_model
from calvaria.paths import Run
from calvaria.stages.split import training_population


def fit(run: Run, config: Config, family: str) -> None:
    """Writes ``fit/FAMILY``: ``model.safetensors``, ``fit.json`` and, for networks, ``steps.jsonl``."""
    population = training_population(run)
    task = Task(run, config, family)
    model = family_module(task.settings.kind).fit(population, task)
    record = {"family": family, "kind": task.settings.kind, "training": list(population.ids), **model.record}
    save_model(run.fit(family), Model(model.tensors, record))
