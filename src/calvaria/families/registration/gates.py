"""Gates that every warp has to pass before its skull is used."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from calvaria.plugins.section import Section


class Gates(Section):
    """Limits that every warp must meet; the screen checks that the vault is closed."""

    similarity: float = Field(0.6, ge=0, le=1)
    """Minimum Dice of the completely warped skull and its target."""
    folded: float = Field(1e-4, ge=0, le=1)
    """Largest fraction of a field's voxels that may be folded (Jacobian determinant not positive)."""
    distorted: float = Field(0.03, ge=0, le=1)
    """Largest accepted share of bone that grew or shrank more than eightfold in volume."""
    volume_ratio: tuple[float, float] = (0.5, 2.0)
    """Least and greatest bone volume of the warped skull over that of the moving one."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.volume_ratio
        if not 0 < low < high:
            raise ValueError(f"gates.volume_ratio must satisfy 0 < low < high, got {[low, high]}")
        return self


@dataclass(frozen=True)
class Measured:
    """Figures of a warp of one skull to another; the screen checks that the vault is closed."""

    similarity: float
    """Dice of the warped skull and the target."""
    folded: float
    """Fraction of the field's voxels whose Jacobian determinant is not positive."""
    least_jacobian: float
    most_jacobian: float
    distorted: float
    """Share of the warped bone that has grown or shrunk more than eightfold in volume."""
    volume_ratio: float
    """Bone volume of the warped skull over that of the moving one."""


def verdict(measured: Measured, gates: Gates) -> str | None:
    """Return why a warp is rejected, without numbers so that reasons can be counted; None if it passes."""
    if not np.isfinite(measured.least_jacobian) or measured.folded > gates.folded:
        return "warp folded"
    if measured.distorted > gates.distorted:
        return "warp distorted"
    if measured.similarity < gates.similarity:
        return "warp not similar"
    low, high = gates.volume_ratio
    if not low <= measured.volume_ratio <= high:
        return f"warp volume ratio too {'low' if measured.volume_ratio < low else 'high'}"
    return None
