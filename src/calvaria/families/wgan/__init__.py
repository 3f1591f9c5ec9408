"""A volumetric Wasserstein GAN with gradient penalty."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from calvaria.families.network_family import NetworkFamily
from calvaria.geometry.grid import Grid
from calvaria.plugins.checks import check_halvings
from calvaria.plugins.costs import FamilyCost, Load, convolution_work, network_cost
from calvaria.plugins.family import Context, Draw, Drawn, Family, Model, Population
from calvaria.plugins.section import Optimiser

if TYPE_CHECKING:
    from calvaria.training.loop import Training


class WganFamily(NetworkFamily):
    """Volumetric Wasserstein GAN with gradient penalty."""

    kind: Literal["wgan"]
    """Selects this family: WGAN-GP."""
    representation: Literal["surfaces", "distance"] = "surfaces"
    """Input representation, as of the autoencoders."""
    latent_size: int = Field(64, ge=1)
    """Length of the noise vector."""
    channels: tuple[int, ...] = (64, 32, 16)
    """Generator channels from coarse to fine; the critic mirrors them."""
    patch: int = Field(2, ge=1)
    """Voxels per edge that are rearranged from channels after the last convolution."""
    critic_steps: int = Field(2, ge=1)
    """Critic updates per generator update."""
    gradient_penalty: float = Field(10.0, ge=0)
    """Weight of the gradient penalty."""
    optimiser: Optimiser
    """Training; steps count generator updates."""

    def estimated_cost(self, load: Load) -> FamilyCost:
        fine_to_coarse = self.channels[::-1]
        skull_s = 1.6e-8 * convolution_work(load.voxels, self.patch, fine_to_coarse)
        skull_s *= (1 + self.critic_steps) / 3  # measured with two critic steps
        return network_cost(load, self.optimiser, skull_s, model_bytes=130e6)

    def check(self, name: str, grid: Grid, processes: int, families: Mapping[str, Family]) -> None:
        check_halvings(f"fit.{name}", grid, self.patch, len(self.channels))
        super().check(name, grid, processes, families)

    def training(self, population: Population, context: Context) -> "Training":
        from calvaria.families.skull_space import EncodedPopulation
        from calvaria.families.wgan.training import training

        return training(self, EncodedPopulation.of(population, self.representation, context.grid), context)

    def fit(self, population: Population, context: Context) -> Model:
        from calvaria.families.wgan.training import fit

        return fit(self, population, context)

    def sample(
        self, model: Model, population: Population, draws: Sequence[Draw], context: Context
    ) -> list[Drawn]:
        from calvaria.families.wgan.training import sample

        return sample(self, model, population, draws, context)
