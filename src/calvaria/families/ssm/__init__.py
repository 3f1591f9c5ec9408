"""A statistical deformation model: principal components of the deformations from a template to the skulls."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from calvaria.families.registration import RegistrationFamily
from calvaria.families.registration.gates import Gates
from calvaria.geometry.grid import Grid
from calvaria.plugins.costs import FamilyCost, Load
from calvaria.plugins.family import Context, Draw, Drawn, Family, Model, Population
from calvaria.plugins.section import Name


class SsmFamily(Family):
    """Statistical deformation model: principal components of the deformations from a template to the skulls.

    A sample is a training skull in a shape drawn from the model.
    """

    kind: Literal["ssm"]
    """Selects this family: a statistical deformation model."""
    registration: Name = "registration"
    """Name of the registration family, of mode template, whose fields are modelled."""
    variance: float = Field(0.95, gt=0, le=1)
    """Share of the variance that the retained components explain."""
    spread: float = Field(1.0, gt=0)
    """Scale of the coefficients; 1 is the variation of the population."""
    most_deviations: float = Field(2.5, gt=0)
    """Coefficients are drawn from a normal distribution truncated at this number of standard deviations."""
    velocity_spacing_mm: float = Field(6.0, gt=0)
    """Spacing of the velocity fields; never finer than that of the registration's fields."""
    gates: Gates = Gates(similarity=0)
    """Limits that every warp must meet; similarity does not apply, since a drawn shape has no target."""

    @property
    def depends_on(self) -> str:
        """Return the name of the registration family."""
        return self.registration

    def check(self, name: str, grid: Grid, processes: int, families: Mapping[str, Family]) -> None:
        base = families.get(self.registration)
        if not isinstance(base, RegistrationFamily) or base.mode != "template":
            raise ValueError(
                f"fit.{name}.registration: '{self.registration}' is not a registration family "
                f"of fit with mode: template"
            )

    def estimated_cost(self, load: Load) -> FamilyCost:
        return replace(super().estimated_cost(load), is_measured=True)

    def fit(self, population: Population, context: Context) -> Model:
        from calvaria.families.ssm.deformations import fit

        return fit(self, population, context)

    def sample(
        self, model: Model, population: Population, draws: Sequence[Draw], context: Context
    ) -> list[Drawn]:
        from calvaria.families.ssm.deformations import sample

        return sample(self, model, population, draws, context)
