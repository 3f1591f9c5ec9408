"""Base class of families that train a network."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from calvaria.geometry.grid import Grid
from calvaria.plugins.checks import check_batches
from calvaria.plugins.costs import FamilyCost, Load, unknown_network
from calvaria.plugins.family import Context, Family, Population
from calvaria.plugins.section import Optimiser

if TYPE_CHECKING:
    from calvaria.training.loop import Training


class NetworkFamily(Family):
    """A family with a network; a derived class has a field ``optimiser``.

    ``fit`` trains what ``training`` returns with ``train_family`` of ``calvaria.families.networks.models``.
    """

    trains_network: ClassVar[bool] = True

    if TYPE_CHECKING:  # the last field of every derived class
        optimiser: Optimiser

    def training(self, population: Population, context: Context) -> "Training":
        """Return the networks and their losses for the training loop."""
        raise NotImplementedError

    def estimated_cost(self, load: Load) -> FamilyCost:
        return unknown_network(load, self.optimiser)

    def check(self, name: str, grid: Grid, processes: int, families: Mapping[str, Family]) -> None:
        check_batches(f"fit.{name}", self.optimiser, processes)


def check_channels(name: str, channels: tuple[int, ...]) -> None:
    """Check that a family's channels are multiples of 8, for its group normalisation.

    Raises:
        ValueError: if they are not.
    """
    if any(n % 8 for n in channels):
        raise ValueError(f"fit.{name}.channels: expected multiples of 8, got {list(channels)}")
