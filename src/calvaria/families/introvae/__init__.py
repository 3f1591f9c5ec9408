"""A soft introspective VAE: encoder and decoder compete; samples come from the prior."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from calvaria.families.network_family import NetworkFamily
from calvaria.geometry.grid import Grid
from calvaria.plugins.checks import check_halvings
from calvaria.plugins.costs import FamilyCost, Load, convolution_work, network_cost
from calvaria.plugins.family import Context, Draw, Drawn, Family, Model, Population
from calvaria.plugins.section import Optimiser

if TYPE_CHECKING:
    from calvaria.training.loop import Training


class IntrovaeFamily(NetworkFamily):
    """Soft introspective VAE: encoder and decoder compete; samples come from the prior."""

    reconstructs: ClassVar[bool] = True

    kind: Literal["introvae"]
    """Selects this family: a soft introspective variational autoencoder."""
    representation: Literal["surfaces", "distance"] = "surfaces"
    """Input representation, as of the autoencoders."""
    latent_size: int = Field(64, ge=1)
    """Length of the latent vector."""
    patch: int = Field(4, ge=1)
    """Voxels per edge that are rearranged into channels before the first convolution."""
    channels: tuple[int, ...] = (32, 64)
    """Channels per resolution level, fine to coarse; each further level halves the resolution."""
    kl_weight: float = Field(0.02, gt=0)
    """Weight of the KL term of real skulls against the reconstruction error in nats per voxel."""
    warm_up: float = Field(0.5, ge=0, le=1)
    """Share of the steps that train a plain VAE before encoder and decoder compete."""
    optimiser: Optimiser
    """Training; steps count updates of encoder and decoder together."""

    def estimated_cost(self, load: Load) -> FamilyCost:
        skull_s = 3.3e-8 * convolution_work(load.voxels, self.patch, self.channels)
        return network_cost(load, self.optimiser, skull_s, model_bytes=50e6)

    def check(self, name: str, grid: Grid, processes: int, families: Mapping[str, Family]) -> None:
        check_halvings(f"fit.{name}", grid, self.patch, len(self.channels))
        super().check(name, grid, processes, families)

    def training(self, population: Population, context: Context) -> "Training":
        from calvaria.families.introvae.training import training
        from calvaria.families.skull_space import EncodedPopulation

        return training(self, EncodedPopulation.of(population, self.representation, context.grid), context)

    def fit(self, population: Population, context: Context) -> Model:
        from calvaria.families.introvae.training import fit

        return fit(self, population, context)

    def sample(
        self, model: Model, population: Population, draws: Sequence[Draw], context: Context
    ) -> list[Drawn]:
        from calvaria.families.introvae.training import sample

        return sample(self, model, population, draws, context)

    def reconstruct(
        self, model: Model, masks: np.ndarray, context: Context, occupancies: np.ndarray | None = None
    ) -> np.ndarray:
        from calvaria.families.introvae.training import reconstruct

        return reconstruct(self, model, masks, context, occupancies)
