"""The recipes of defects, and how many each skull gets."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from calvaria.plugins.recipe import Recipe
from calvaria.plugins.registry import kinds
from calvaria.plugins.section import Name, Section

if TYPE_CHECKING:
    AnyRecipe = Recipe
else:
    AnyRecipe = Annotated[reduce(or_, kinds("recipes").values()), Field(discriminator="kind")]


class Inject(Section):
    """Synthetic defects."""

    recipes: dict[Name, AnyRecipe] = Field(min_length=1)
    """The defect recipes by name."""
    per_skull: int = Field(1, ge=1)
    """Defects per sampled skull."""
    per_held_out_skull: int = Field(4, ge=1)
    """Defects per validation or test skull."""
    implant_ml: tuple[float, float] = (4.0, 200.0)
    """Least and most implant volume; other draws are redrawn."""
    attempts: int = Field(50, ge=1)
    """Maximum number of draws per defect; then the job fails with the reasons."""
