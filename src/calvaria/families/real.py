"""The real training skulls, without a model; samples cycle through the population in random order."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from calvaria.plugins.costs import START_S, FamilyCost, Load
from calvaria.plugins.family import Context, Draw, Drawn, Family, Model, Population


class RealFamily(Family):
    """The real training skulls themselves, without a model."""

    is_real: ClassVar[bool] = True
    allows_copies: ClassVar[bool] = True

    kind: Literal["real"]
    """Selects this family: the real skulls."""

    def estimated_cost(self, load: Load) -> FamilyCost:
        return FamilyCost(fit_s=START_S, draw_s=1e-3, start_s=START_S)

    def fit(self, population: Population, context: Context) -> Model:
        """Return an empty model."""
        return Model()

    def sample(
        self, model: Model, population: Population, draws: Sequence[Draw], context: Context
    ) -> list[Drawn]:
        """Return one skull per draw from an endless series of shuffled rounds, at ``index + attempt``."""
        drawn = []
        for draw in draws:
            round_, place = divmod(draw.index + draw.attempt, len(population))
            which = int(context.generator("round", round_).permutation(len(population))[place])
            drawn.append(Drawn(population.masks[which], (population.ids[which],), {}))
            context.on_drawn()
        return drawn
