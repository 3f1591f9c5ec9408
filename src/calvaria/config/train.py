"""The arms, their training and evaluation, and the report."""

from typing import Annotated

from pydantic import Field

from calvaria.config.base import Name, Section
from calvaria.config.fit import Optimiser


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


class Evaluate(Section):
    """Predicts the implants of the test cohort and scores them."""

    threshold: float = Field(0.5, gt=0, lt=1)
    """Probability from which a voxel belongs to the implant."""
    batch_size: int = Field(4, ge=1)
    """Cases per forward pass."""


class Audit(Section):
    """Compares every family's skulls with real ones that no family has learned from."""

    neighbours: int = Field(5, ge=1)
    """Nearest neighbours whose distance is the radius of a skull's surroundings."""


class Report(Section):
    """Gathers everything into one HTML page."""

    skulls: int = Field(6, ge=1)
    """Skulls rendered per family."""
    cases: int = Field(4, ge=1)
    """Cases rendered per family."""
