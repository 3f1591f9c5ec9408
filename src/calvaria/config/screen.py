"""Rejection of implausible samples."""

from pydantic import Field

from calvaria.plugins.section import Section


class Screen(Section):
    """Limits of plausible samples, relative to the training skulls; others are redrawn."""

    volume_tolerance: float = Field(0.25, ge=0)
    """Tolerance of the bone volume outside the training range, as a fraction of the range's ends."""
    extent_tolerance_mm: float = Field(12.0, ge=0)
    """Tolerance of width, length and height of the skull outside the training range."""
    thickness_tolerance: float = Field(0.35, ge=0)
    """Tolerance of the mean vault thickness outside the training range, as a fraction of its ends."""
    largest_component: float = Field(0.9, gt=0, le=1)
    """Minimum share of the largest component; other components are removed."""
    vault_hole_area_mm2: float = Field(100.0, ge=0)
    """Tolerance of the total area of a vault's holes beyond that of the worst training skull."""
    copy_dice: float = Field(0.95, gt=0, le=1)
    """Dice with a training skull, or its mirror image, from which a sample is rejected as a copy; not
    applied to families of real skulls, which are copies."""
    attempts: int = Field(20, ge=1)
    """Maximum number of draws per sample; then the job fails with the reasons."""
