"""limits: measures the training skulls; the screen accepts what is like them."""

from dataclasses import asdict

from calvaria.config import Config
from calvaria.skull.measures import measure
from calvaria.skull.screening import limits as limits_of
from calvaria.storage.cohorts import training_population
from calvaria.storage.paths import Run
from calvaria.storage.store import write_json


def limits(run: Run, config: Config) -> None:
    """Writes ``screen/limits.json``: the accepted range of every measure and the training skulls' own."""
    population = training_population(run)
    training = [measure(mask, config.grid.voxels()) for mask in population.masks]
    accepted = limits_of(training, config.screen)
    rows = [{"id": name, **asdict(one)} for name, one in zip(population.ids, training, strict=True)]
    write_json(run.limits, {**accepted, "training": rows})
