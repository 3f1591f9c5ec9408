"""Latent diffusion: a diffusion model, or a flow, over the latents of an autoencoder family."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from calvaria.families.autoencoder_family import AutoencoderFamily
from calvaria.families.network_family import NetworkFamily, check_channels
from calvaria.geometry.grid import Grid
from calvaria.plugins.costs import FamilyCost, Load, convolution_work, training_s
from calvaria.plugins.family import Context, Draw, Drawn, Family, Model, Population
from calvaria.plugins.section import Name, Optimiser

if TYPE_CHECKING:
    from calvaria.training.loop import Training


class LdmFamily(NetworkFamily):
    """Latent diffusion over the latents of an autoencoder family."""

    samples_iteratively: ClassVar[bool] = True

    kind: Literal["ldm"]
    """Selects this family: latent diffusion."""
    autoencoder: Name = "vae"
    """Name of the vae or vqvae family whose latents are diffused."""
    modes: int = Field(32, ge=0)
    """Principal components of latents along which the network learns nothing beyond the Gaussian."""
    channels: tuple[int, ...] = (48, 96)
    """U-Net channels per resolution level, fine to coarse."""
    patch: int = Field(1, ge=1)
    """Positions of the latent per edge that are rearranged into channels before the U-Net."""
    timesteps: int = Field(1000, ge=2)
    """Diffusion steps of the training objective."""
    objective: Literal["epsilon", "v_prediction", "flow"] = "v_prediction"
    """Prediction target: the noise or the velocity of a diffusion, or the velocity of a flow."""
    sampler: Literal["ddim", "dpmsolver++", "euler"] = "dpmsolver++"
    """Sampler: euler for a flow, the others for a diffusion."""
    sampling_steps: int = Field(10, ge=1)
    """Steps per sample."""
    local: float = Field(0.1, gt=0, le=1)
    """Share of the variance of the noise that is local, with a correlation that fades over 10 cm; the rest
    mixes whole heads, like samples of the autoencoder."""
    condition: tuple[Literal["volume_ml", "width_mm", "length_mm", "height_mm"], ...] = ()
    """Shape measures used as condition; those of samples are drawn from their distribution in training."""
    unconditional: float = Field(0.1, ge=0, lt=1)
    """Share of the training in which the condition is withheld, for guidance."""
    guidance: float = Field(1.0, ge=0)
    """Weight of the condition (classifier-free guidance); 1 is the plain conditional model."""
    recompute: bool = False
    """Gradient checkpointing: less memory, a third more time."""
    optimiser: Optimiser
    """Training of the network."""

    @model_validator(mode="after")
    def _sampler_suits(self) -> Self:
        if (self.objective == "flow") != (self.sampler == "euler"):
            raise ValueError(
                f"ldm.sampler: euler and objective flow require each other, got {self.sampler} and "
                f"{self.objective}"
            )
        return self

    @property
    def depends_on(self) -> str:
        """Return the name of the autoencoder family."""
        return self.autoencoder

    def estimated_cost(self, load: Load) -> FamilyCost:
        autoencoder = load.families[self.autoencoder]
        assert isinstance(autoencoder, AutoencoderFamily)
        latent_voxels = load.voxels / autoencoder.factor**3
        work = convolution_work(latent_voxels, self.patch, self.channels)
        passes = self.sampling_steps * (1 if self.guidance == 1 else 2)
        return FamilyCost(
            fit_s=training_s(self.optimiser, 4.2e-8 * work),
            draw_s=6e-9 * passes * work + 1e-6 * load.voxels,
            model_bytes=80e6,
        )

    def check(self, name: str, grid: Grid, processes: int, families: Mapping[str, Family]) -> None:
        check_channels(name, self.channels)
        super().check(name, grid, processes, families)
        if not isinstance(families.get(self.autoencoder), AutoencoderFamily):
            raise ValueError(
                f"fit.{name}.autoencoder: '{self.autoencoder}' is not a vae or vqvae family of fit"
            )

    def training(self, population: Population, context: Context) -> "Training":
        from calvaria.families.ldm.training import training

        return training(self, population, context)

    def fit(self, population: Population, context: Context) -> Model:
        from calvaria.families.ldm.training import fit

        return fit(self, population, context)

    def sample(
        self, model: Model, population: Population, draws: Sequence[Draw], context: Context
    ) -> list[Drawn]:
        from calvaria.families.ldm.training import sample

        return sample(self, model, population, draws, context)
