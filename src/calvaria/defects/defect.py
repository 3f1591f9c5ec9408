"""A defect: shapes on a vault and healing of the bone around them; frozen and convertible to JSON.

A defect knows the vault that it was placed on, so that skull, grid and defect are all that a case needs.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from calvaria.defects.shapes import Shape
from calvaria.skull.vault import Frozen, Vault, Vector


class Healing(Frozen):
    """Bone around the hole that has thinned: most at the rim, not at all ``width_mm`` away from it."""

    width_mm: float = Field(gt=0)
    """Width of the band of thinned bone."""
    thinning: float = Field(ge=0, le=1)
    """Share of the bone's thickness that is gone at the rim."""
    side: Literal["outer", "inner"]
    """Side from which bone is removed."""


class Plane(Frozen):
    """A plane beyond which the scanner saw nothing."""

    normal: Vector
    """Direction that points to what was not seen; of unit length to 1e-4."""
    offset_mm: float
    """A world position p was not seen where normal * p > offset."""


class Defect(Frozen):
    """All that was drawn for one case."""

    vault: Vault
    """Nothing is cut off it."""
    shapes: Annotated[tuple[Annotated[Shape, Field(discriminator="kind")], ...], Field(min_length=1)]
    """The shapes that are cut, as a union."""
    pieces: int = Field(1, ge=1)
    """Number of implants; overlapping shapes make one."""
    healing: Healing | None = None
    """Thinning of the surrounding bone."""
    unseen: tuple[Plane, ...] = ()
    """Crop of the scan: labels beyond it are 0, so the case is not the complete skull there."""


def to_json(defect: Defect) -> dict[str, Any]:
    """Return the defect as a JSON object; ``from_json`` is the inverse."""
    return defect.model_dump(mode="json")


def from_json(content: dict[str, Any]) -> Defect:
    """Return the defect of a JSON object.

    Raises:
        pydantic.ValidationError: if it is not one.
    """
    return Defect.model_validate(content)
