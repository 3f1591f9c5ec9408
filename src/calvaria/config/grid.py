"""The canonical grid."""

from typing import Self

from pydantic import Field, model_validator

from calvaria.geometry.grid import Grid as VoxelGrid
from calvaria.plugins.section import Section


class Grid(Section):
    """The canonical grid of all skulls of a run."""

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
