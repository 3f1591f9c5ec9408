"""The recipes of defects."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from calvaria.config.base import Name, Normal, Section


class SpheresRecipe(Section):
    """Union of a primary and several secondary spheres with a noisy boundary (the SkullBreak recipe)."""

    kind: Literal["spheres"]
    """Which recipe: a union of spheres."""
    weight: float = Field(1.0, gt=0)
    """Share of this recipe among the defects."""
    primary_radius_mm: Normal = Normal(mean=28, sd=8)
    """Radius of the primary sphere."""
    secondary_count: tuple[int, int] = (0, 7)
    """Least and most secondary spheres."""
    secondary_radius_mm: Normal = Normal(mean=16, sd=4)
    """Radius of the secondary spheres."""
    blend_mm: float = Field(6.0, ge=0)
    """Width over which touching spheres melt into each other."""
    roughness_mm: float = Field(4.0, ge=0)
    """Amplitude of the smooth noise on the boundary."""
    azimuth_deg: tuple[float, float] = (-180.0, 180.0)
    """Range of the defect's centre around the head: 0 right, 90 front, -90 back."""
    elevation_deg: tuple[float, float] = (0.0, 90.0)
    """Range of the defect's centre above the horizontal plane through the vault's centre."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for key in ("secondary_count", "azimuth_deg", "elevation_deg"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"{key} must be [least, most], got {[low, high]}")
        if self.secondary_count[0] < 0:
            raise ValueError(f"secondary_count must not be negative, got {list(self.secondary_count)}")
        if self.elevation_deg[0] < -90 or self.elevation_deg[1] > 90:
            raise ValueError(f"elevation_deg must lie in -90 to 90, got {list(self.elevation_deg)}")
        return self


class RoundedBoxRecipe(Section):
    """A box with rounded corners cut through the vault (the SkullFix recipe)."""

    kind: Literal["rounded_box"]
    """Which recipe: a box with rounded corners."""
    weight: float = Field(1.0, gt=0)
    """Share of this recipe among the defects."""
    axis: Literal["vertical", "normal"] = "vertical"
    """Along what the box is cut: the head's vertical, as in SkullFix, or the outward normal, anywhere."""
    width_mm: Normal = Normal(mean=80, sd=6.5)
    """Horizontal edge length of the box."""
    length_mm: Normal = Normal(mean=74, sd=8)
    """Distance between the upper and the lower edge of the cut, straight through the head."""
    corner_radius_mm: Normal = Normal(mean=3, sd=1)
    """Radius of the box's corners; 0 for sharp ones."""
    burr_radius_mm: Normal = Normal(mean=5.5, sd=0.7)
    """Radius of the round holes at the two upper corners; 0 for none."""
    azimuth_deg: Normal = Normal(mean=-93, sd=4)
    """Where the defect's centre is around the head: 0 right, 90 front, -90 back."""
    elevation_deg: Normal = Normal(mean=42, sd=6)
    """How far the defect's centre is above the horizontal plane through the vault's centre."""


Recipe = Annotated[SpheresRecipe | RoundedBoxRecipe, Field(discriminator="kind")]


class Inject(Section):
    """Cuts synthetic defects into skulls."""

    recipes: dict[Name, Recipe] = Field(min_length=1)
    """The defect recipes by name."""
    per_skull: int = Field(1, ge=1)
    """Defects per sampled skull."""
    per_held_out_skull: int = Field(4, ge=1)
    """Defects per validation or test skull."""
    implant_ml: tuple[float, float] = (4.0, 200.0)
    """Least and most implant volume; other draws are redrawn."""
    attempts: int = Field(50, ge=1)
    """Draws per defect before the job gives up and says why."""
