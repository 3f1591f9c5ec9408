"""A defect: shapes on a vault and healing of the bone around them; frozen and convertible to JSON.

A defect includes the vault on which it was placed, so that skull, grid and defect determine a case.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from calvaria.defects.shapes import Shape
from calvaria.skull.vault import Frozen, Vault, Vector


class Healing(Frozen):
    """Thinning of the bone around the hole: greatest at the rim, none at ``width_mm`` from it."""

    width_mm: float = Field(gt=0)
    """Width of the band of thinned bone."""
    thinning: float = Field(ge=0, le=1)
    """Share of the bone's thickness that is removed at the rim."""
    side: Literal["outer", "inner"]
    """Side from which bone is removed."""


class Plane(Frozen):
    """A plane that bounds the scanner's field of view."""

    normal: Vector
    """Direction out of the field of view; of unit length to 1e-4."""
    offset_mm: float
    """World positions p with normal * p > offset are outside the field of view."""


class Defect(Frozen):
    """All parameters drawn for one case."""

    vault: Vault
    """Region to which the cut is confined."""
    shapes: Annotated[tuple[Annotated[Shape, Field(discriminator="kind")], ...], Field(min_length=1)]
    """Shapes whose union is cut."""
    pieces: int = Field(1, ge=1)
    """Number of implants; overlapping shapes count as one."""
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
        pydantic.ValidationError: if the object is not a defect.
    """
    return Defect.model_validate(content)
