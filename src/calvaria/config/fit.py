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


class Gates(Section):
    """What every warp has to pass; whether the vault is closed is seen by the screen."""

    similarity: float = Field(0.6, ge=0, le=1)
    """Least Dice of the warped skull and its target, all the way along the deformation."""
    folded: float = Field(1e-4, ge=0, le=1)
    """Largest fraction of a field's voxels that may be folded (Jacobian determinant not positive)."""
    distorted: float = Field(0.03, ge=0, le=1)
    """Largest share of the warped bone that may have grown or shrunk more than eightfold in volume."""
    volume_ratio: tuple[float, float] = (0.5, 2.0)
    """Least and greatest bone volume of the warped skull over that of the moving one."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.volume_ratio
        if not 0 < low < high:
            raise ValueError(f"gates.volume_ratio must satisfy 0 < low < high, got {[low, high]}")
        return self


class RegistrationFamily(Section):
    """ANTs affine and SyN between training skulls; a sample is one skull warped towards another."""

    kind: Literal["registration"]
    """Which family: registration."""
    mode: Literal["pairwise", "template"] = "pairwise"
    """pairwise: each pair is registered, for both directions. template: each skull is registered once to an
    unbiased template, through which every skull is then warped to every other."""
    pairs: int | None = Field(24, ge=1)
    """Pairwise: unordered pairs to register at most, drawn without repetition; null for all of them."""
    partners: int | None = Field(None, ge=1)
    """Pairwise: only as many pairs as give every skull this many partners; null for no such limit."""
    batch_size: int = Field(8, ge=1)
    """Registrations per job."""
    field_spacing_mm: float = Field(3.0, gt=0)
    """Spacing of the deformation fields; never finer than the grid."""
    reach: float = Field(1.2, gt=0)
    """Spacings of the field after which distances from bone are cut off, for ANTs and for refining."""
    iterations: tuple[int, ...] = (30, 20, 8)
    """SyN iterations per level, coarse to fine; each level halves the spacing, the last is the field's."""
    gradient_step: float = Field(0.7, gt=0)
    """SyN's gradient step."""
    refine: int = Field(5, ge=0)
    """Rounds of demons that bring a warped skull closer to its target; 0 leaves what SyN found."""
    template_skulls: int = Field(12, ge=2)
    """Template: training skulls that it is built from, at most."""
    template_rounds: int = Field(3, ge=1)
    """Template: how often it is rebuilt."""
    template_spacing_mm: float = Field(4.0, gt=0)
    """Template: spacing of the fields while it is built."""
    template_iterations: tuple[int, ...] = (30, 20, 8)
    """Template: SyN iterations per level while it is built."""
    fraction: tuple[float, float] = (0.6, 1.0)
    """How far a sample goes along its deformation: 0 leaves the moving skull, 1 reaches the target."""
    gates: Gates = Gates()
    """What every warp has to pass."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.fraction
        if not 0 < low <= high <= 1:
            raise ValueError(f"registration.fraction must satisfy 0 < low <= high <= 1, got {[low, high]}")
        return self

    def batches(self, skulls: int) -> int:
        """How many jobs share the registrations, for so many training skulls at most."""
        if self.mode == "template":
            count = skulls
        else:
            count = skulls * (skulls - 1) // 2
            if self.partners is not None:
                count = min(count, skulls * self.partners)
            count = count if self.pairs is None else min(count, self.pairs)
        return max(1, -(-count // self.batch_size))


class SsmFamily(Section):
    """Statistical deformation model: principal components of the ways from a template to the skulls.

    A sample is a training skull in a shape drawn from the model.
    """

    kind: Literal["ssm"]
    """Which family: a statistical deformation model."""
    registration: Name = "registration"
    """Name of the registration family, of mode template, whose fields are modelled."""
    variance: float = Field(0.95, gt=0, le=1)
    """Share of the variance that the kept components explain."""
    spread: float = Field(1.0, gt=0)
    """Scale of the coefficients; 1 is the population's own spread."""
    most_deviations: float = Field(2.5, gt=0)
    """Coefficients are drawn from a normal distribution cut off at so many standard deviations."""
    velocity_spacing_mm: float = Field(6.0, gt=0)
    """Spacing of the velocity fields; never finer than that of the registration's fields."""
    gates: Gates = Gates(similarity=0)
    """What every warp has to pass; similarity means nothing here, as a drawn shape is nobody's."""


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
    RealFamily | RegistrationFamily | SsmFamily | VaeFamily | WganFamily | LdmFamily,
    Field(discriminator="kind"),
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
