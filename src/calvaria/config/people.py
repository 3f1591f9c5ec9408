"""Identification of repeat scans of one person."""

from pydantic import Field

from calvaria.plugins.section import Section


class People(Section):
    """Finds scans of the same person, so that no head is trained on and tested on."""

    same_mm: float = Field(0.55, ge=0)
    """Two skulls are one person's if their vaults, laid onto each other, differ by less than this."""
