"""Skulls warped towards each other, by pairwise registration or through a template."""

from collections.abc import Sequence
from math import comb
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from calvaria.families.registration.gates import Gates
from calvaria.plugins.costs import START_TORCH_S, FamilyCost, Load
from calvaria.plugins.family import Context, Draw, Drawn, Family, Model, Population


class RegistrationFamily(Family):
    """ANTs affine and SyN between training skulls; a sample is one skull warped towards another."""

    kind: Literal["registration"]
    """Selects this family: registration."""
    mode: Literal["pairwise", "template"] = "pairwise"
    """pairwise: each pair is registered, for both directions. template: each skull is registered once to an
    unbiased template, through which every skull is then warped to every other."""
    pairs: int | None = Field(24, ge=1)
    """Pairwise: unordered pairs to register at most, drawn without repetition; null for all of them."""
    partners: int | None = Field(None, ge=1)
    """Pairwise: number of partners per skull, which limits the pairs; null for no limit."""
    batch_size: int = Field(8, ge=1)
    """Registrations per job."""
    field_spacing_mm: float = Field(3.0, gt=0)
    """Spacing of the deformation fields; never finer than the grid."""
    reach: float = Field(1.2, gt=0)
    """Spacings of the field at which distances from bone are truncated, for ANTs and the demons."""
    iterations: tuple[int, ...] = (30, 20, 8)
    """SyN iterations per level, coarse to fine; each level halves the spacing, the last is the field's."""
    gradient_step: float = Field(0.7, gt=0)
    """SyN's gradient step."""
    demons_rounds: int = Field(5, ge=0)
    """Rounds of demons refinement after SyN; 0 for none."""
    template_skulls: int = Field(12, ge=2)
    """Template: maximum number of training skulls."""
    template_rounds: int = Field(3, ge=1)
    """Template: number of rounds of its construction."""
    template_spacing_mm: float = Field(4.0, gt=0)
    """Template: spacing of the fields during construction."""
    template_iterations: tuple[int, ...] = (30, 20, 8)
    """Template: SyN iterations per level during construction."""
    fraction: tuple[float, float] = (0.6, 1.0)
    """Share of the deformation that a sample follows: 0 is the moving skull, 1 the target."""
    gates: Gates = Gates()
    """Limits that every warp must meet."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.fraction
        if not 0 < low <= high <= 1:
            raise ValueError(f"registration.fraction must satisfy 0 < low <= high <= 1, got {[low, high]}")
        return self

    @property
    def builds_template(self) -> bool:
        return self.mode == "template"

    def registration_batches(self, skulls: int) -> int:
        """Return the number of jobs that share the registrations of at most ``skulls`` training skulls."""
        return max(1, -(-self._registrations(skulls) // self.batch_size))

    def _registrations(self, skulls: int) -> int:
        if self.mode == "template":
            return skulls
        count = comb(skulls, 2)
        if self.partners is not None:
            count = min(count, skulls * self.partners)
        return count if self.pairs is None else min(count, self.pairs)

    def estimated_cost(self, load: Load) -> FamilyCost:
        through_template = self.mode == "template"
        field = _field_voxels(load, self.field_spacing_mm)
        syn_s = 2.7e-6  # per voxel and iteration of the finest level
        demons_s = 2.3e-7 * load.voxels  # per round
        built = self.template_rounds * min(self.template_skulls, load.training)
        coarse = _field_voxels(load, self.template_spacing_mm)
        values = 2 * 3 + through_template  # per voxel: both fields, and with a template the depth
        return FamilyCost(
            fit_s=2.0,
            draw_s=3.1e-7 * load.voxels + demons_s * self.demons_rounds * through_template,
            template_s=START_TORCH_S
            + built * syn_s * (_finest_iterations(self.template_iterations) * coarse),
            registrations=self._registrations(load.training),
            registration_s=syn_s * _finest_iterations(self.iterations) * field
            + 2 * demons_s * (1 + self.demons_rounds),
            # float16, in the batch and in the files from which an interrupted batch resumes
            registration_bytes=2 * 2 * values * field,
        )

    def build_template(self, population: Population, context: Context) -> np.ndarray:
        from calvaria.families.registration.registering import build_template

        return build_template(self, population, context)

    def register(
        self, population: Population, context: Context, batch: int, batches: int
    ) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
        from calvaria.families.registration.registering import register

        return register(self, population, context, batch, batches)

    def fit(self, population: Population, context: Context) -> Model:
        from calvaria.families.registration.warping import fit

        return fit(self, population, context)

    def sample(
        self, model: Model, population: Population, draws: Sequence[Draw], context: Context
    ) -> list[Drawn]:
        from calvaria.families.registration.warping import sample

        return sample(self, model, population, draws, context)


def _field_voxels(load: Load, spacing_mm: float) -> float:
    return load.voxels * min(1.0, load.grid.spacing_mm / spacing_mm) ** 3


def _finest_iterations(iterations: Sequence[int]) -> float:
    """Return the number of iterations of the finest level with the cost of those of all levels."""
    return sum(n / 8 ** (len(iterations) - 1 - level) for level, n in enumerate(iterations))
