"""Identification of repeat scans of one person."""

from pydantic import Field

from calvaria.plugins.section import Section


class People(Section):
    """Identification of scans of the same person, so that nobody is in both training and test."""

    same_mm: float = Field(0.55, ge=0)
    """Two skulls are one person's if their aligned vaults differ by less than this."""
