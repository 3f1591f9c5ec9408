"""A 3-D vector-quantised autoencoder; samples come from a Gaussian that is fitted to the training latents."""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from calvaria.families.autoencoder_family import AutoencoderFamily
from calvaria.plugins.costs import FamilyCost, Load, convolution_work, network_cost
from calvaria.plugins.family import Context, Model, Population

if TYPE_CHECKING:
    from calvaria.training.loop import Training


class VqvaeFamily(AutoencoderFamily):
    """3-D vector-quantised autoencoder; samples come from a Gaussian that is fitted to its latents."""

    kind: Literal["vqvae"]
    """Selects this family: a vector-quantised autoencoder."""
    codes: int = Field(256, ge=2)
    """Entries of the codebook."""
    groups: int = Field(4, ge=1)
    """Codes per position of the latent; each quantises an equal share of the channels."""
    commitment: float = Field(0.25, ge=0)
    """Weight of the distance between latents and their codes."""
    revive_below: float = Field(0.05, ge=0)
    """Use of a code, as a fraction of an even share, below which it is moved to a latent."""

    @model_validator(mode="after")
    def _groups_are_even(self) -> Self:
        if self.latent_channels % self.groups:
            raise ValueError(
                f"vqvae.groups must divide latent_channels, got {self.groups} and {self.latent_channels}"
            )
        return self

    def estimated_cost(self, load: Load) -> FamilyCost:
        work = convolution_work(load.voxels, self.patch, self.channels) * self.blocks
        return network_cost(load, self.optimiser, 1.3e-8 * work, model_bytes=45e6)

    def training(self, population: Population, context: Context) -> "Training":
        from calvaria.families.skull_space import EncodedPopulation
        from calvaria.families.vqvae.training import training

        return training(self, EncodedPopulation.of(population, self.representation, context.grid), context)

    def fit(self, population: Population, context: Context) -> Model:
        from calvaria.families.vqvae.training import fit

        return fit(self, population, context)
