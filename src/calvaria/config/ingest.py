"""The grid, the sources of skulls, and how people are split."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from calvaria.config.base import Section
from calvaria.grid import Grid as VoxelGrid


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
