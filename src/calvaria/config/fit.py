"""The augmentation families, and how skulls are drawn from them and screened."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from calvaria.plugins.section import Name, Optimiser, Section


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
    """Spacings of the field after which distances from bone are cut off, for ANTs and for the demons."""
    iterations: tuple[int, ...] = (30, 20, 8)
    """SyN iterations per level, coarse to fine; each level halves the spacing, the last is the field's."""
    gradient_step: float = Field(0.7, gt=0)
    """SyN's gradient step."""
    demons_rounds: int = Field(5, ge=0)
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


class Autoencoder(Section):
    """What the convolutional autoencoders have in common."""

    representation: Literal["surfaces", "distance", "occupancy"] = "surfaces"
    """What the network sees of a skull: truncated signed distances to the surfaces of the head, its cavity
    filled, and of the cavity alone; or to those of bone; or 1 for bone and -1 for none. It lowers the mean
    error of distances, and of occupancy cross-entropy and 1 - Dice."""
    patch: int = Field(4, ge=1)
    """Voxels per edge that are folded into channels before the first convolution."""
    channels: tuple[int, ...] = (64,)
    """Channels per resolution level, fine to coarse; each further level halves the resolution."""
    blocks: int = Field(1, ge=1)
    """Residual blocks per level."""
    latent_channels: int = Field(8, ge=1)
    """Channels of the latent volume."""
    recompute: bool = False
    """Whether activations are computed again for the backward pass: less memory, a third more time."""
    decode_tile: int | None = Field(None, ge=8)
    """Edge, in voxels of the latent, of the overlapping tiles in which large volumes are decoded; null for
    decoding them in one piece."""
    optimiser: Optimiser
    """How it is trained."""

    @property
    def factor(self) -> int:
        """How many times smaller the latent is, per edge."""
        return self.patch * 2 ** (len(self.channels) - 1)


class VaeFamily(Autoencoder):
    """3-D KL autoencoder; samples come from a Gaussian that is fitted to its latents."""

    kind: Literal["vae"]
    """Which family: a variational autoencoder."""
    kl_weight: float = Field(1e-4, ge=0)
    """Weight of the KL term against the reconstruction error, both per voxel of their volume."""


class VqvaeFamily(Autoencoder):
    """3-D vector-quantised autoencoder; samples come from a Gaussian that is fitted to its latents."""

    kind: Literal["vqvae"]
    """Which family: a vector-quantised autoencoder."""
    codes: int = Field(256, ge=2)
    """Entries of the codebook."""
    groups: int = Field(4, ge=1)
    """Codes per place of the latent; each stands for an equal share of its channels."""
    commitment: float = Field(0.25, ge=0)
    """Weight of the distance between latents and their codes."""
    revive_below: float = Field(0.05, ge=0)
    """Use of a code, as a fraction of an even share, below which it is moved to where latents are."""

    @model_validator(mode="after")
    def _groups_are_even(self) -> Self:
        if self.latent_channels % self.groups:
            raise ValueError(
                f"vqvae.groups must divide latent_channels, got {self.groups} and {self.latent_channels}"
            )
        return self


class IntrovaeFamily(Section):
    """Soft introspective VAE: encoder and decoder play against each other; samples come from the prior."""

    kind: Literal["introvae"]
    """Which family: a soft introspective variational autoencoder."""
    representation: Literal["surfaces", "distance"] = "surfaces"
    """What the network sees of a skull, as of the autoencoders."""
    latent_size: int = Field(64, ge=1)
    """Length of the latent vector."""
    patch: int = Field(4, ge=1)
    """Voxels per edge that are folded into channels before the first convolution."""
    channels: tuple[int, ...] = (32, 64)
    """Channels per resolution level, fine to coarse; each further level halves the resolution."""
    kl_weight: float = Field(0.02, gt=0)
    """Weight of the KL term of real skulls against the reconstruction error in nats per voxel."""
    warm_up: float = Field(0.5, ge=0, le=1)
    """Share of the steps that train a plain VAE before the two begin to play."""
    optimiser: Optimiser
    """How it is trained; steps count updates of encoder and decoder together."""


class WganFamily(Section):
    """Volumetric Wasserstein GAN with gradient penalty."""

    kind: Literal["wgan"]
    """Which family: WGAN-GP."""
    representation: Literal["surfaces", "distance"] = "surfaces"
    """What the network sees of a skull, as of the autoencoders."""
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
    optimiser: Optimiser
    """How it is trained; steps count generator updates."""


class LdmFamily(Section):
    """Latent diffusion over the latents of an autoencoder family."""

    kind: Literal["ldm"]
    """Which family: latent diffusion."""
    autoencoder: Name = "vae"
    """Name of the vae or vqvae family whose latents are diffused."""
    modes: int = Field(32, ge=0)
    """Principal components by which latents are whitened: what heads differ in most."""
    channels: tuple[int, ...] = (48, 96)
    """U-Net channels per resolution level, fine to coarse."""
    patch: int = Field(1, ge=1)
    """Places of the latent per edge that are folded into channels before the U-Net."""
    timesteps: int = Field(1000, ge=2)
    """Diffusion steps of the training objective."""
    objective: Literal["epsilon", "v_prediction", "flow"] = "v_prediction"
    """What the network predicts: the noise or the velocity of a diffusion, or the velocity of a flow."""
    sampler: Literal["ddpm", "ddim", "dpmsolver++", "euler"] = "dpmsolver++"
    """How samples are drawn; euler goes with the flow, the others with a diffusion."""
    sampling_steps: int = Field(10, ge=1)
    """Steps per sample."""
    temperature: float = Field(1.0, gt=0, le=1)
    """Scale of the noise that sampling starts from, beside the components; below 1 skulls are smoother."""
    condition: tuple[Literal["volume_ml", "width_mm", "length_mm", "height_mm"], ...] = ()
    """Measures of the skull that the network is told; for samples they are drawn like those in training."""
    unconditional: float = Field(0.1, ge=0, lt=1)
    """Share of the training in which the condition is withheld, for guidance."""
    guidance: float = Field(1.0, ge=0)
    """Weight of the condition (classifier-free guidance); 1 is the plain conditional model."""
    recompute: bool = False
    """Whether activations are computed again for the backward pass: less memory, a third more time."""
    optimiser: Optimiser
    """How it is trained."""

    @model_validator(mode="after")
    def _sampler_suits(self) -> Self:
        if (self.objective == "flow") != (self.sampler == "euler"):
            raise ValueError(
                f"ldm.sampler euler goes with objective flow, and only with it; got {self.sampler} and "
                f"{self.objective}"
            )
        return self


Family = Annotated[
    RealFamily
    | RegistrationFamily
    | SsmFamily
    | VaeFamily
    | VqvaeFamily
    | WganFamily
    | IntrovaeFamily
    | LdmFamily,
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
    vault_hole_area_mm2: float = Field(100.0, ge=0)
    """By how much all holes of a vault together may be larger than in the worst training skull."""
    copy_dice: float = Field(0.95, gt=0, le=1)
    """Dice with a training skull, or its mirror image, from which a sample is a copy and is rejected; of the
    family of real skulls nothing else is wanted."""
    attempts: int = Field(20, ge=1)
    """Draws per sample before the job gives up and says why."""
