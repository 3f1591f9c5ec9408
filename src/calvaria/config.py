"""The configuration of a run: frozen models, one section per stage, unknown keys refused.

A section has the name of the stage that it steers. Lengths carry their unit in the name (``_mm``),
fractions lie in [0, 1]. The JSON schema and the reference page are generated from these models.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from calvaria.errors import ConfigError
from calvaria.grid import Grid as VoxelGrid

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]*$")]
HELD_OUT = ("validation", "test")  # the cohorts of real skulls that no family and no arm learns from


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Normal(Section):
    """A normal distribution, cut off at three standard deviations."""

    mean: float
    """Mean."""
    sd: float = Field(ge=0)
    """Standard deviation."""


class Grid(Section):
    """The canonical grid in which every skull of the run stands."""

    shape: tuple[int, int, int] = (48, 56, 48)
    """Voxels along x (left to right), y (back to front) and z (bottom to top); multiples of 8."""
    spacing_mm: float = Field(3.75, gt=0)
    """Edge length of the isotropic voxels."""

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if any(n <= 0 or n % 8 for n in self.shape):
            raise ValueError(f"grid.shape must hold positive multiples of 8, got {list(self.shape)}")
        return self

    def voxels(self) -> VoxelGrid:
        return VoxelGrid(self.shape, self.spacing_mm)


# --- ingest -----------------------------------------------------------------------------------------


class PhantomSource(Section):
    """Procedural skulls from the run's seed; needs no data."""

    kind: Literal["phantom"]
    """Which source: procedural phantoms."""
    count: int = Field(24, ge=4)
    """How many different people to make."""
    spacing_mm: float = Field(2.0, gt=0)
    """Voxel size in which the phantoms are built before they are conformed to the grid."""


class FolderSource(Section):
    """A folder of NIfTI label volumes: 0 background, 1 bone, 2 implant (optional)."""

    kind: Literal["folder"]
    """Which source: a folder of label volumes."""
    path: Path
    """The folder; relative to the working directory."""
    pattern: str = "*.nii.gz"
    """Which files to take; the file name up to its first dot is the skull's id."""
    limit: int | None = Field(None, ge=4)
    """Take only the first so many files in the order of their names; null takes all."""


class Ingest(Section):
    """Reads skulls from their source and conforms them to the grid."""

    source: Annotated[PhantomSource | FolderSource, Field(discriminator="kind")]
    """Where the real skulls come from."""
    top_margin_mm: float = Field(10.0, ge=0)
    """Free space between the top of the vault and the top of the box."""
    shard_size: int = Field(12, ge=1)
    """Skulls per shard; one job makes one shard."""


# --- split ------------------------------------------------------------------------------------------


class Split(Section):
    """Divides the people, never their files, into training, validation and test."""

    validation: float = Field(0.15, gt=0, lt=1)
    """Fraction of the people in the validation cohort."""
    test: float = Field(0.2, gt=0, lt=1)
    """Fraction of the people in the test cohort."""

    @model_validator(mode="after")
    def _some_left(self) -> Self:
        if self.validation + self.test >= 0.9:
            raise ValueError(
                "split.validation + split.test must stay below 0.9, or nothing is left to train on"
            )
        return self


# --- fit and sample ---------------------------------------------------------------------------------


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
    gradient_penalty: float = Field(1.0, ge=0)
    """Weight of the gradient penalty; on volumes this small, 1 trains steadier than the usual 10."""
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
    largest_component: float = Field(0.97, gt=0, le=1)
    """Least fraction of the bone that must hang together; smaller pieces are removed."""
    vault_hole_area_mm2: float = Field(400.0, ge=0)
    """Largest total area of holes in the vault that still counts as closed."""
    attempts: int = Field(8, ge=1)
    """Draws per sample before the job gives up and says why."""


# --- inject -----------------------------------------------------------------------------------------


class SpheresRecipe(Section):
    """Union of a primary and several secondary spheres with a noisy boundary (the SkullBreak recipe)."""

    kind: Literal["spheres"]
    """Which recipe: a union of spheres."""
    weight: float = Field(1.0, gt=0)
    """Share of this recipe among the defects."""
    primary_radius_mm: Normal = Normal(mean=28, sd=8)
    """Radius of the primary sphere."""
    secondary_count: tuple[int, int] = (0, 7)
    """Least and most secondary spheres."""
    secondary_radius_mm: Normal = Normal(mean=16, sd=4)
    """Radius of the secondary spheres."""
    blend_mm: float = Field(6.0, ge=0)
    """Width over which touching spheres melt into each other."""
    roughness_mm: float = Field(4.0, ge=0)
    """Amplitude of the smooth noise on the boundary."""
    azimuth_deg: tuple[float, float] = (-180.0, 180.0)
    """Range of the defect's centre around the head: 0 right, 90 front, -90 back."""
    elevation_deg: tuple[float, float] = (0.0, 90.0)
    """Range of the defect's centre above the horizontal plane through the vault's centre."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for key in ("secondary_count", "azimuth_deg", "elevation_deg"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"{key} must be [least, most], got {[low, high]}")
        if self.secondary_count[0] < 0:
            raise ValueError(f"secondary_count must not be negative, got {list(self.secondary_count)}")
        if self.elevation_deg[0] < -90 or self.elevation_deg[1] > 90:
            raise ValueError(f"elevation_deg must lie in -90 to 90, got {list(self.elevation_deg)}")
        return self


class RoundedBoxRecipe(Section):
    """A box with rounded corners cut through the vault (the SkullFix recipe)."""

    kind: Literal["rounded_box"]
    """Which recipe: a box with rounded corners."""
    weight: float = Field(1.0, gt=0)
    """Share of this recipe among the defects."""
    axis: Literal["vertical", "normal"] = "vertical"
    """Along what the box is cut: the head's vertical, as in SkullFix, or the outward normal, anywhere."""
    width_mm: Normal = Normal(mean=80, sd=6.5)
    """Horizontal edge length of the box."""
    length_mm: Normal = Normal(mean=74, sd=8)
    """Distance between the upper and the lower edge of the cut, straight through the head."""
    corner_radius_mm: Normal = Normal(mean=3, sd=1)
    """Radius of the box's corners; 0 for sharp ones."""
    burr_radius_mm: Normal = Normal(mean=5.5, sd=0.7)
    """Radius of the round holes at the two upper corners; 0 for none."""
    azimuth_deg: Normal = Normal(mean=-93, sd=4)
    """Where the defect's centre is around the head: 0 right, 90 front, -90 back."""
    elevation_deg: Normal = Normal(mean=42, sd=6)
    """How far the defect's centre is above the horizontal plane through the vault's centre."""


Recipe = Annotated[SpheresRecipe | RoundedBoxRecipe, Field(discriminator="kind")]


class Inject(Section):
    """Cuts synthetic defects into skulls."""

    recipes: dict[Name, Recipe] = Field(min_length=1)
    """The defect recipes by name."""
    per_skull: int = Field(1, ge=1)
    """Defects per sampled skull."""
    per_held_out_skull: int = Field(4, ge=1)
    """Defects per validation or test skull."""
    implant_ml: tuple[float, float] = (4.0, 200.0)
    """Least and most implant volume; other draws are redrawn."""
    attempts: int = Field(50, ge=1)
    """Draws per defect before the job gives up and says why."""


# --- train, evaluate, report ------------------------------------------------------------------------


class Geometric(Section):
    """Random affine augmentation of the batch on the training device."""

    probability: float = Field(0.75, ge=0, le=1)
    """Chance that each of the transforms below is applied to a case."""
    mirror: bool = True
    """Mirror left and right."""
    rotate_deg: float = Field(15.0, ge=0)
    """Largest rotation about each axis."""
    translate_mm: float = Field(12.0, ge=0)
    """Largest shift along each axis."""
    scale: tuple[float, float] = (0.85, 1.15)
    """Range of the isotropic scale."""


class Arm(Section):
    """A named mixture of families; arms are what the report compares."""

    families: dict[Name, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    """Weight of each family's cases among the training cases."""
    geometric: bool = False
    """Whether the batches are augmented geometrically."""


class Train(Section):
    """Trains one reconstruction network per arm, all with the same number of gradient steps."""

    arms: dict[Name, Arm] = Field(min_length=1)
    """The arms by name."""
    geometric: Geometric = Geometric()
    """The augmentation of the arms that ask for it."""
    patch: int = Field(2, ge=1)
    """Voxels per edge that are folded into channels before the first convolution."""
    channels: tuple[int, ...] = (16, 32, 64)
    """Channels of the residual U-Net per level, fine to coarse."""
    mirror: bool = True
    """Whether the network also sees the defective skull's mirror image."""
    optimiser: Optimiser
    """How every arm is trained."""
    validate_every: int = Field(100, ge=1)
    """Gradient steps between two validations; the best weights are kept."""


class Evaluate(Section):
    """Predicts the implants of the test cohort and scores them."""

    threshold: float = Field(0.5, gt=0, lt=1)
    """Probability from which a voxel belongs to the implant."""
    batch_size: int = Field(4, ge=1)
    """Cases per forward pass."""


class Report(Section):
    """Gathers everything into one HTML page."""

    skulls: int = Field(6, ge=1)
    """Skulls rendered per family."""
    cases: int = Field(4, ge=1)
    """Cases rendered per family."""


class Config(Section):
    """A whole run, from skulls to report."""

    name: Name
    """Name of the run; its results lie in results/NAME."""
    seed: int = Field(0, ge=0)
    """Root of every random choice."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run; auto takes the GPU where there is one."""
    threads: int = Field(1, ge=1)
    """CPU threads per job; part of the result's identity, so it never follows the machine."""
    grid: Grid = Grid()
    """The canonical grid."""
    ingest: Ingest
    """Skulls in."""
    split: Split = Split()
    """Who is trained on and who is tested on."""
    fit: dict[Name, Family] = Field(min_length=1)
    """The augmentation families by name."""
    sample: Sample = Sample()
    """Drawing from the families."""
    screen: Screen = Screen()
    """Rejecting implausible skulls."""
    inject: Inject
    """Making defects."""
    train: Train
    """Training the reconstruction network."""
    evaluate: Evaluate = Evaluate()
    """Scoring on held-out people."""
    report: Report = Report()
    """The page at the end."""

    @model_validator(mode="after")
    def _networks_fit_the_grid(self) -> Self:
        for name, family in self.fit.items():
            if isinstance(family, VaeFamily | WganFamily):
                self._check_halvings(f"fit.{name}", family.patch, len(family.channels))
            if isinstance(family, VaeFamily | LdmFamily) and any(n % 8 for n in family.channels):
                raise ValueError(f"fit.{name}.channels: wanted multiples of 8, got {list(family.channels)}")
        self._check_halvings("train", self.train.patch, len(self.train.channels))
        return self

    def _check_halvings(self, key: str, patch: int, levels: int) -> None:
        divisor = patch * 2 ** (levels - 1)
        if any(n % divisor for n in self.grid.shape):
            raise ValueError(
                f"{key}.patch and {key}.channels: patch * 2^(levels - 1) is {divisor}, which must divide "
                f"grid.shape, got {list(self.grid.shape)}"
            )

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for name, family in self.fit.items():
            if name in HELD_OUT:
                raise ValueError(f"fit.{name}: '{name}' is the name of a held-out cohort; choose another")
            if isinstance(family, LdmFamily):
                other = self.fit.get(family.autoencoder)
                if not isinstance(other, VaeFamily):
                    raise ValueError(
                        f"fit.{name}.autoencoder: '{family.autoencoder}' is not an autoencoder family of fit"
                    )
        for name, arm in self.train.arms.items():
            for family_name in arm.families:
                if family_name not in self.fit:
                    raise ValueError(
                        f"train.arms.{name}.families: '{family_name}' is not a family of fit, "
                        f"which has {', '.join(self.fit)}"
                    )
        return self


def parse(raw: Any, where: str) -> Config:
    """Validates a raw mapping; ``where`` names its origin in the error.

    Raises:
        ConfigError: naming every wrong key, what it got and what it wants.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        faults = [_fault(item) for item in error.errors()]
        raise ConfigError(f"{where}: {len(faults)} wrong key(s)\n" + "\n".join(faults)) from None


def _fault(item: Any) -> str:
    """One line of a validation error: key, what is wanted, what was found."""
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"  {key}: unknown key; see docs/config.md for the known ones"
    wanted = item["msg"].removeprefix("Value error, ")
    if item["type"] in ("missing", "value_error"):
        return f"  {key + ': ' if key else ''}{wanted}"
    return f"  {key}: {wanted}, got {item['input']!r}"


def load(path: Path) -> Config:
    """Reads and validates a YAML file.

    Raises:
        ConfigError: if the file is missing, is not YAML, or has wrong keys.
    """
    try:
        raw = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    return parse(raw, str(path))


def dump(config: Config) -> str:
    """The complete config as YAML, every default written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
