"""The recipes of defects."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from calvaria.plugins.section import Name, Normal, Section

Span = tuple[float, float]


class Healed(Section):
    """Bone around the hole that has thinned; what is gone belongs to the implant."""

    width_mm: Normal = Normal(mean=12, sd=3)
    """Width of the band of thinned bone."""
    thinning: Normal = Normal(mean=0.6, sd=0.1)
    """Share of the bone's thickness that is gone at the rim; kept within 0 to 1."""
    side: Literal["outer", "inner", "either"] = "either"
    """From which side the bone has gone; either takes one of them by chance."""


class FieldOfView(Section):
    """Where the scan ends: beyond, all labels are 0, so there labels > 0 is not the whole skull."""

    bottom_mm: Normal | None = Normal(mean=35, sd=10)
    """How far below the vault's centre the scan begins; null for no cut."""
    top_mm: Normal | None = None
    """How far below the vertex the scan ends; null for no cut."""
    tilt_deg: Normal = Normal(mean=0, sd=6)
    """How far the cuts are tilted, forwards and sideways."""


class Options(Section):
    """What every recipe of a shape has."""

    weight: float = Field(1.0, gt=0)
    """Share of this recipe among the defects."""
    count: tuple[int, int] = (1, 1)
    """Least and most defects in one skull; with several, choose smaller sizes."""
    apart_mm: float = Field(10.0, gt=0)
    """Least bone between several defects."""
    healed: Healed | None = None
    """Thins the bone around the defect; null leaves the edges fresh."""
    field_of_view: FieldOfView | None = None
    """Where the scan ends; null leaves it as it is."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for key in type(self).model_fields:
            value = getattr(self, key)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{key} must be [least, most], got {list(value)}")
        if self.count[0] < 1:
            raise ValueError(f"count must be at least 1, got {list(self.count)}")
        return self


class Placed(Options):
    """What recipes have whose defects may lie anywhere."""

    region: Literal["anywhere", "bilateral", "frontoorbital", "parietotemporal"] = "anywhere"
    """Where the defect is: between the angles below, or in one of SkullBreak's regions."""
    azimuth_deg: Span = (-180.0, 180.0)
    """Range of the defect's centre around the head: 0 right, 90 front, -90 back."""
    elevation_deg: Span = (0.0, 90.0)
    """Range of the defect's centre above the horizontal plane through the vault's centre."""

    @model_validator(mode="after")
    def _where(self) -> Self:
        if self.elevation_deg[0] < -90 or self.elevation_deg[1] > 90:
            raise ValueError(f"elevation_deg must lie in -90 to 90, got {list(self.elevation_deg)}")
        fields = type(self).model_fields
        # A config that was written out has all defaults in it.
        angles = [
            name for name in ("azimuth_deg", "elevation_deg") if getattr(self, name) != fields[name].default
        ]
        if self.region != "anywhere" and angles:
            raise ValueError(f"region {self.region} has its own angles: omit {', '.join(angles)}")
        return self


class SpheresRecipe(Placed):
    """Union of a primary and several secondary spheres with a noisy boundary (the SkullBreak recipe)."""

    kind: Literal["spheres"]
    """Which recipe: a union of spheres."""
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

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if self.secondary_count[0] < 0:
            raise ValueError(f"secondary_count must not be negative, got {list(self.secondary_count)}")
        return self


class EllipsoidRecipe(Placed):
    """An ellipsoid on the outer surface, turned at random; a sphere if ``elongation`` is [1, 1]."""

    kind: Literal["ellipsoid"]
    """Which recipe: an ellipsoid, or a sphere."""
    radius_mm: Normal = Normal(mean=32, sd=7)
    """Shorter semi-axis along the surface, and the one into the head."""
    elongation: Span = (1.0, 1.6)
    """Range of the longer semi-axis along the surface, over the shorter one."""


class CuboidRecipe(Placed):
    """A cuboid cut along the outward normal, turned at random; a cube if ``elongation`` is [1, 1]."""

    kind: Literal["cuboid"]
    """Which recipe: a cuboid, or a cube."""
    edge_mm: Normal = Normal(mean=55, sd=12)
    """Shorter edge along the surface, and the edge into the head; half of that is below the surface."""
    elongation: Span = (1.0, 1.6)
    """Range of the longer edge along the surface, over the shorter one."""


class CraniotomyRecipe(Placed):
    """A bone flap between burr holes, which saw lines join, cut along the local normal with a bevel."""

    kind: Literal["craniotomy"]
    """Which recipe: a bone flap."""
    diameter_mm: Normal = Normal(mean=90, sd=18)
    """Mean diameter of the flap along the surface."""
    elongation: Span = (1.0, 1.4)
    """Range of its length over its width."""
    holes: tuple[int, int] = (4, 7)
    """Least and most burr holes; 3 or more."""
    hole_radius_mm: Normal = Normal(mean=6.5, sd=0.8)
    """Radius of the burr holes."""
    curvature: Span = (0.0, 0.12)
    """Range of how far a saw line bows outwards, over its length; 0 for straight ones."""
    bevel_deg: Normal = Normal(mean=20, sd=7)
    """Angle by which the cut leans, so that the flap is smaller inside than outside; kept within 0 to 60."""

    @model_validator(mode="after")
    def _holes(self) -> Self:
        if self.holes[0] < 3:
            raise ValueError(f"holes must be 3 or more, got {list(self.holes)}")
        return self


class RoundedBoxRecipe(Options):
    """A box with rounded corners cut through the vault (the SkullFix recipe)."""

    kind: Literal["rounded_box"]
    """Which recipe: a box with rounded corners."""
    axis: Literal["vertical", "normal"] = "vertical"
    """Along what the box is cut: the head's vertical, as in SkullFix, or the outward normal, anywhere."""
    width_mm: Normal = Normal(mean=80, sd=6.5)
    """Horizontal edge length of the box."""
    length_mm: Normal = Normal(mean=76, sd=7)
    """Distance between the upper and the lower edge of the cut, straight through the head."""
    corner_radius_mm: Normal = Normal(mean=3, sd=1)
    """Radius of the box's corners; 0 for sharp ones."""
    burr_radius_mm: Normal = Normal(mean=5.5, sd=0.7)
    """Radius of the round holes at the two upper corners; 0 for none."""
    azimuth_deg: Normal = Normal(mean=-92, sd=6)
    """Where the defect's centre is around the head: 0 right, 90 front, -90 back."""
    elevation_deg: Normal = Normal(mean=38, sd=8)
    """How far the defect's centre is above the horizontal plane through the vault's centre."""


class CustomRecipe(Section):
    """A recipe of your own: a function that draws a defect; see docs/defects.md."""

    kind: Literal["custom"]
    """Which recipe: a function of your own."""
    weight: float = Field(1.0, gt=0)
    """Share of this recipe among the defects."""
    function: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """``package.module:name`` of a function ``name(rng, skull, grid, **parameters) -> Defect``."""
    parameters: dict[str, Any] = Field({})
    """Its further arguments."""


Recipe = Annotated[
    SpheresRecipe | RoundedBoxRecipe | EllipsoidRecipe | CuboidRecipe | CraniotomyRecipe | CustomRecipe,
    Field(discriminator="kind"),
]


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
