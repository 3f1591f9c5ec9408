"""The arms, their training and evaluation, and the report."""

from typing import Annotated, Literal

from pydantic import Field

from calvaria.plugins.section import Name, Optimiser, Section


class Geometric(Section):
    """Random geometric augmentation of the batch on the training device."""

    probability: float = Field(ge=0, le=1)
    """Probability of each of the transforms below."""
    flips: tuple[Literal["x", "y", "z"], ...]
    """Axes along which a case may be flipped, each with probability one half; x is left and right."""
    rotate_deg: float = Field(ge=0)
    """Largest rotation about each axis."""
    translate_voxels: float = Field(ge=0)
    """Largest shift along each axis."""
    scale: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
    """Range of the isotropic scale."""
    crop: float = Field(ge=0, lt=1)
    """Largest share of the grid that is cropped at one side, like a smaller field of view."""
    edge_noise: float = Field(ge=0, le=1)
    """Probability that a voxel on either side of the remaining bone's surface is inverted."""


LEVELS: dict[str, Geometric | None] = {
    "none": None,
    "mild": Geometric(
        probability=0.5,
        flips=("x",),
        rotate_deg=5.0,
        translate_voxels=2.0,
        scale=(0.95, 1.05),
        crop=0.0,
        edge_noise=0.0,
    ),
    "strong": Geometric(
        probability=0.75,
        flips=("x",),
        rotate_deg=15.0,
        translate_voxels=5.0,
        scale=(0.85, 1.15),
        crop=0.15,
        edge_noise=0.02,
    ),
    "extreme": Geometric(
        probability=0.75,
        flips=("x", "y", "z"),
        rotate_deg=45.0,
        translate_voxels=15.0,
        scale=(0.4, 1.3),
        crop=0.3,
        edge_noise=0.05,
    ),
}


class Arm(Section):
    """A named mixture of families; arms are what the report compares."""

    families: dict[Name, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    """Weight of each family's cases among the training cases."""
    geometric: Literal["none", "mild", "strong", "extreme"] | Geometric = "none"
    """Geometric augmentation of the batches: a level, or a section with all keys of one."""
    samples: int | None = Field(None, ge=1)
    """Number of skulls used of each synthetic family; all if not given."""

    @property
    def augmentation(self) -> Geometric | None:
        """The geometric augmentation, if there is any."""
        return LEVELS[self.geometric] if isinstance(self.geometric, str) else self.geometric


class Train(Section):
    """Training of every arm's networks, all with the same number of gradient steps."""

    arms: dict[Name, Arm] = Field(min_length=1)
    """The arms by name."""
    seeds: int = Field(1, ge=1)
    """Networks per arm, which differ in initial weights and order of batches."""
    predicts: Literal["implant", "skull"] = "implant"
    """Prediction target: the implant, or the complete skull, from which the defective one is subtracted."""
    fresh_defects: bool = False
    """Whether every batch gets new defects, by the recipes of ``inject``, instead of those in the stores."""
    patch: int = Field(2, ge=1)
    """Voxels per edge that are rearranged into channels before the first convolution."""
    channels: tuple[int, ...] = Field((16, 32, 64), min_length=3)
    """Channels of the residual U-Net per level, fine to coarse."""
    mirror: bool = True
    """Whether the flipped defective skull is an additional input."""
    completion: int = Field(24, ge=0)
    """Principal components of the real training skulls by which the remaining bone is completed, as an
    additional input, equal for all arms; 0 for none."""
    prior: int = Field(48, ge=0)
    """Skulls of an arm to which its statistical prior of the vault's surfaces is fitted; 0 for none, so that
    the networks draw the implant."""
    deep_supervision: int = Field(0, ge=0)
    """Number of coarser levels whose predictions also enter the loss."""
    optimiser: Optimiser
    """Training of every arm."""


class Evaluate(Section):
    """Prediction and scores of the implants of the test cohort."""

    threshold: float = Field(0.5, gt=0, lt=1)
    """Probability from which a voxel belongs to the implant."""
    batch_size: int = Field(4, ge=1)
    """Cases per forward pass."""
    flip: bool = True
    """Whether every prediction is averaged with the flipped prediction of the flipped skull."""
    ensemble: bool = False
    """Whether an arm's networks are also scored as one, by their mean probability."""


class Audit(Section):
    """Comparison of every family's skulls with held-out real skulls."""

    neighbours: int = Field(5, ge=1)
    """Nearest neighbours whose distance is the radius of a skull's surroundings."""


class Report(Section):
    """The report, an HTML page."""

    skulls: int = Field(6, ge=1)
    """Skulls rendered per family."""
    cases: int = Field(4, ge=1)
    """Cases rendered per family."""
    baselines: tuple[Name, ...] = ()
    """Arms with which all others are compared; by default the first arm."""
    failure_dsc: float = Field(0.7, ge=0, le=1)
    """Predictions with a lower DSC are listed and shown as failures."""
