"""A 3-D KL autoencoder; samples come from a Gaussian that is fitted to the latents of the training skulls."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from calvaria.families.autoencoder_family import AutoencoderFamily
from calvaria.plugins.costs import FamilyCost, Load, convolution_work, network_cost
from calvaria.plugins.family import Context, Model, Population

if TYPE_CHECKING:
    from calvaria.training.loop import Training


class VaeFamily(AutoencoderFamily):
    """3-D KL autoencoder; samples come from a Gaussian that is fitted to its latents."""

    kind: Literal["vae"]
    """Selects this family: a variational autoencoder."""
    kl_weight: float = Field(1e-4, ge=0)
    """Weight of the KL term against the reconstruction error, both per voxel of their volume."""

    def estimated_cost(self, load: Load) -> FamilyCost:
        work = convolution_work(load.voxels, self.patch, self.channels) * self.blocks
        return network_cost(load, self.optimiser, 1.4e-8 * work, model_bytes=45e6)

    def training(self, population: Population, context: Context) -> "Training":
        from calvaria.families.skull_space import EncodedPopulation
        from calvaria.families.vae.training import training

        return training(self, EncodedPopulation.of(population, self.representation, context.grid), context)

    def fit(self, population: Population, context: Context) -> Model:
        from calvaria.families.vae.training import fit

        return fit(self, population, context)
