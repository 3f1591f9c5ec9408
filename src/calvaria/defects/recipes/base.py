"""Base classes of recipes: a recipe draws one shape; its base class provides what all shapes share."""

from abc import abstractmethod
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from calvaria.defects.defect import Defect
from calvaria.defects.outer_surface import OuterSurface
from calvaria.defects.recipes import regions, several
from calvaria.defects.recipes.options import FieldOfView, Healed
from calvaria.defects.shapes import Shape
from calvaria.geometry.grid import Grid
from calvaria.plugins.recipe import Recipe
from calvaria.skull.vault import Vault, Vector

Span = tuple[float, float]


class ShapeRecipe(Recipe):
    """A recipe that cuts shapes out of the vault; has all options but a region."""

    count: tuple[int, int] = (1, 1)
    """Least and most defects in one skull; with several, choose smaller sizes."""
    apart_mm: float = Field(10.0, gt=0)
    """Least bone between several defects."""
    healed: Healed | None = None
    """Thinning of the bone around the defect; null for none."""
    field_of_view: FieldOfView | None = None
    """Crop of the scan; null for none."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for key in type(self).model_fields:
            value = getattr(self, key)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{key} must be [least, most], got {list(value)}")
        if self.count[0] < 1:
            raise ValueError(f"count must be at least 1, got {list(self.count)}")
        return self

    @abstractmethod
    def draw_shape(self, rng: np.random.Generator, surface: OuterSurface) -> Shape:
        """Draw one shape on the outer surface of a skull."""

    def draw(self, rng: np.random.Generator, skull: np.ndarray, grid: Grid, vault: Vault) -> Defect:
        """Draw as many shapes as ``count`` allows, and the options."""
        vault = self.on_floor(vault)
        surface = OuterSurface(skull, grid, vault)
        shapes = several.draw(rng, surface, self.count, self.apart_mm, self.draw_shape)
        return Defect(
            vault=vault,
            shapes=shapes,
            pieces=len(shapes),
            healing=None if self.healed is None else self.healed.draw(rng),
            unseen=() if self.field_of_view is None else self.field_of_view.draw(rng, vault),
        )

    def on_floor(self, vault: Vault) -> Vault:
        """Return the vault that this recipe cuts."""
        return vault


class PlacedRecipe(ShapeRecipe):
    """A recipe whose defects may lie anywhere on the vault, or in a region."""

    region: Literal["anywhere", "bilateral", "frontoorbital", "parietotemporal"] = "anywhere"
    """Position of the defect: between the angles below, or in one of SkullBreak's regions."""
    azimuth_deg: Span = (-180.0, 180.0)
    """Range of the defect's centre around the head: 0 right, 90 front, -90 back."""
    elevation_deg: Span = (0.0, 90.0)
    """Range of the defect's centre above the horizontal plane through the vault's centre."""

    @model_validator(mode="after")
    def _where(self) -> Self:
        if self.elevation_deg[0] < -90 or self.elevation_deg[1] > 90:
            raise ValueError(f"elevation_deg must lie in -90 to 90, got {list(self.elevation_deg)}")
        fields = type(self).model_fields
        # A config written by calvaria contains all defaults.
        angles = [
            name for name in ("azimuth_deg", "elevation_deg") if getattr(self, name) != fields[name].default
        ]
        if self.region != "anywhere" and angles:
            raise ValueError(f"region {self.region} has its own angles: omit {', '.join(angles)}")
        return self

    def direction(self, rng: np.random.Generator) -> Vector:
        """Draw the direction from the vault's centre to the defect's centre."""
        return regions.direction(rng, self.region, self.azimuth_deg, self.elevation_deg)

    def on_floor(self, vault: Vault) -> Vault:
        """Return the vault that this recipe cuts: with the brow if the region includes it."""
        return regions.on_floor(self.region, vault)

    def misplaced(self, labels: np.ndarray, grid: Grid, vault: Vault) -> str | None:
        """Return the reason why a case is outside the region, or None."""
        return regions.misplaced(labels, grid, vault, self.region)
