"""The real training skulls themselves: fits nothing; samples go round the population in a random order."""

from collections.abc import Sequence

from calvaria.families import Draw, Drawn, Model, Task
from calvaria.storage.cohorts import Population


def fit(population: Population, task: Task) -> Model:
    """Nothing to fit."""
    return Model()


def sample(model: Model, population: Population, draws: Sequence[Draw], task: Task) -> list[Drawn]:
    """Sample ``index`` is the skull at that place of an endless series of shuffled rounds."""
    drawn = []
    for draw in draws:
        round_, place = divmod(draw.index + draw.attempt, len(population))
        which = int(task.generator("round", round_).permutation(len(population))[place])
        drawn.append(Drawn(population.masks[which], (population.ids[which],), {}))
        task.drawn()
    return drawn
