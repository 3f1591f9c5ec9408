"""Fit an augmentation family to the training skulls.

An interrupted training goes on from its last checkpoint, and ends with the same bits.

Example: calvaria fit --run results/demo --family vae --dry-run
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from calvaria.pipeline import costs, reads, roots
from calvaria.pipeline.stage import FAMILY, Stage, weight_files

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.storage.paths import Run


def fit(run: Run, config: Config, family: str) -> None:
    """Write ``fit/FAMILY``: ``model.safetensors``, ``fit.json`` and, for networks, ``steps.jsonl``."""
    from calvaria.families.run_context import fit_context
    from calvaria.plugins.family import Model
    from calvaria.storage.cohorts import training_population
    from calvaria.storage.models import save_model

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
    """Measure parameters, peak memory and time of a training in a few steps at full size."""
    from calvaria.families.network_family import NetworkFamily
    from calvaria.families.run_context import fit_context
    from calvaria.storage.cohorts import training_population

    settings = config.fit[family]
    if not settings.trains_network:
        return f"fit {family}: a family of kind {settings.kind} trains no network"
    from calvaria.training.device import prepare_device
    from calvaria.training.estimate import estimate

    context, _ = fit_context(run, config, family)
    training = settings.training(training_population(run), context)
    optimiser = cast(NetworkFamily, settings).optimiser
    estimated = estimate(training, config, optimiser.accumulate, prepare_device(config))
    return f"fit {family}: {estimated.text(optimiser.steps)}"


def _each_after_its_base(config: Config) -> list[str]:
    return sorted(config.fit, key=lambda family: config.below(family) is not None)


STAGE = Stage(
    name="fit",
    help=__doc__,
    run=fit,
    outputs=lambda run, family, _: weight_files(run.fit(family), "fit.json"),
    reads=reads.family,
    key=FAMILY,
    names=_each_after_its_base,
    roots=roots.families,
    cost=costs.fit,
    dry_run=dry_run,
)
