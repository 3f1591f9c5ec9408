"""The augmentation families, and how skulls are drawn from them and screened."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from calvaria.config.base import Name, Section


class Optimiser(Section):
    """How a network is trained: Adam with a linear warm-up and a cosine decay to zero."""

    steps: int = Field(ge=1)
    """Gradient steps."""
    batch_size: int = Field(4, ge=1)
    """Volumes per step; part of the result's identity."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak learning rate."""


class RealFamily(Section):
    """The real training skulls themselves; fits nothing."""

    kind: Literal["real"]
    """Which family: the real skulls."""


class RegistrationFamily(Section):
    """Pairwise ANTs SyN between training skulls; a sample is one skull warped towards another."""

    kind: Literal["registration"]
    """Which family: pairwise registration."""
    pairs: int = Field(24, ge=1)
    """Unordered pairs to register, drawn without repetition; each serves both directions."""
    iterations: tuple[int, ...] = (40, 20, 0)
    """SyN iterations per level, coarse to fine."""
    fraction: tuple[float, float] = (0.6, 1.0)
    """How far a sample goes along its deformation: 0 leaves the moving skull, 1 reaches the target."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.fraction
        if not 0 < low <= high <= 1:
            raise ValueError(f"registration.fraction must satisfy 0 < low <= high <= 1, got {[low, high]}")
        return self


class VaeFamily(Section):
    """3-D KL autoencoder on truncated signed distances."""

    kind: Literal["vae"]
    """Which family: a variational autoencoder."""
    channels: tuple[int, ...] = (16, 32, 64)
    """Channels per resolution level, fine to coarse; each further level halves the resolution."""
    latent_channels: int = Field(4, ge=1)
    """Channels of the latent volume."""
    patch: int = Field(2, ge=1)
    """Voxels per edge that are folded into channels before the first convolution."""
    kl_weight: float = Field(1e-4, ge=0)
    """Weight of the KL term against the reconstruction error, both per voxel of their volume."""
    optimiser: Optimiser
    """How it is trained."""


class WganFamily(Section):
    """Volumetric Wasserstein GAN with gradient penalty."""

    kind: Literal["wgan"]
    """Which family: WGAN-GP."""
    latent_size: int = Field(64, ge=1)
    """Length of the noise vector."""
    channels: tuple[int, ...] = (64, 32, 16)
    """Generator channels from coarse to fine; the critic mirrors them."""
    patch: int = Field(2, ge=1)
    """Voxels per edge that are unfolded from channels after the last convolution."""
    critic_steps: int = Field(2, ge=1)
    """Critic updates per generator update."""
    gradient_penalty: float = Field(10.0, ge=0)
    """Weight of the gradient penalty."""
    ema_decay: float = Field(0.99, ge=0, lt=1)
    """Decay of the exponential moving average of the generator; samples come from the average."""
    optimiser: Optimiser
    """How it is trained; steps count generator updates."""


class LdmFamily(Section):
    """Latent diffusion over the latents of an autoencoder family."""

    kind: Literal["ldm"]
    """Which family: latent diffusion."""
    autoencoder: Name = "vae"
    """Name of the autoencoder family whose latents are diffused."""
    channels: tuple[int, ...] = (48, 96)
    """U-Net channels per resolution level, fine to coarse."""
    timesteps: int = Field(1000, ge=2)
    """Diffusion steps of the training objective."""
    prediction: Literal["epsilon", "v_prediction"] = "v_prediction"
    """What the network predicts."""
    sampling_steps: int = Field(25, ge=1)
    """DDIM steps per sample."""
    temperature: float = Field(1.0, gt=0, le=1)
    """Scale of the noise that sampling starts from; below 1 it trades diversity for plausible skulls."""
    ema_decay: float = Field(0.995, ge=0, lt=1)
    """Decay of the exponential moving average of the weights; samples come from the average."""
    optimiser: Optimiser
    """How it is trained."""


Family = Annotated[
    RealFamily | RegistrationFamily | VaeFamily | WganFamily | LdmFamily, Field(discriminator="kind")
]


class Sample(Section):
    """Draws skulls from every fitted family."""

    count: int = Field(32, ge=1)
    """Skulls per family; raising it keeps the shards that exist."""
    shard_size: int = Field(32, ge=1)
    """Skulls per shard; one job makes one shard."""
    batch_size: int = Field(4, ge=1)
    """Skulls per forward pass; batches are always full."""


class Screen(Section):
    """Rejects implausible samples and redraws them; limits are relative to the training skulls."""

    volume_tolerance: float = Field(0.25, ge=0)
    """How far the bone volume may lie outside the training range, as a fraction of the range's ends."""
    extent_tolerance_mm: float = Field(12.0, ge=0)
    """How far width, length and height of the skull may lie outside the training range."""
    thickness_tolerance: float = Field(0.35, ge=0)
    """How far the mean vault thickness may lie outside the training range, as a fraction of its ends."""
    largest_component: float = Field(0.9, gt=0, le=1)
    """Least fraction of the bone that must hang together; smaller pieces are removed."""
    vault_hole_area_mm2: float = Field(400.0, ge=0)
    """Largest total area of holes in the vault that still counts as closed."""
    attempts: int = Field(20, ge=1)
    """Draws per sample before the job gives up and says why."""
