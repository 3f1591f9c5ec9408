"""Shared parts of registering and warping: the population on its two grids, and registered fields."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch

from calvaria.families.registration import RegistrationFamily
from calvaria.families.registration.fields import (
    Skull,
    centres,
    coarser,
    compose,
    look_up,
    prepare,
    refine,
    unfold,
)
from calvaria.families.registration.plan import TEMPLATE
from calvaria.geometry.grid import Grid
from calvaria.plugins.compute import Compute
from calvaria.plugins.family import Model, Population, Registered

Pair = tuple[int, int]


class Space:
    """The population on the grids of skulls and fields; the template and the last skull are cached."""

    def __init__(
        self,
        settings: RegistrationFamily,
        population: Population,
        grid: Grid,
        compute: Compute,
        registered: Registered | None = None,
    ) -> None:
        """Set the grids and torch's threads; mode template needs ``registered`` for its template."""
        self.settings, self.population, self.grid = settings, population, grid
        self.field_grid = coarser(grid, settings.field_spacing_mm)
        self._registered = registered
        self._last: tuple[int, Skull] | None = None
        torch.set_num_threads(compute.threads)

    def mask(self, place: int) -> np.ndarray:
        """Return the (x, y, z) uint8 mask of a skull of the population, or of the template."""
        return self.template if place == TEMPLATE else self.population.masks[place]

    @cached_property
    def template(self) -> np.ndarray:
        if self._registered is None or self._registered.template is None:
            raise ValueError("expected the template of a registration family, got none")
        return self._registered.template

    def skull(self, place: int) -> Skull:
        """Return a prepared skull; the last one is cached, since draws are processed skull by skull."""
        if self._last is None or self._last[0] != place:
            reach = self.settings.reach * self.field_grid.spacing_mm
            known = self.population.occupancies
            occupancy = None if known is None or place == TEMPLATE else known[place]
            self._last = place, prepare(self.mask(place), self.grid, reach, occupancy)
        return self._last[1]

    def depth(self, place: int) -> torch.Tensor:
        """Return the (x, y, z) depth of a skull on the fields' grid, plus its reach, for ``refined``."""
        return look_up(self.skull(place).values[:1], self.grid, centres(self.field_grid))[0]

    def refined(self, moving: int, target: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
        """Return a field that warps ``moving`` closer to the skull with the depth ``target``."""
        if self.settings.demons_rounds:
            field = refine(self.skull(moving), target, field, self.field_grid, self.settings.demons_rounds)
        return unfold(field, self.field_grid.spacing_mm)


class Ways:
    """Fields between skulls, and to and from a template, of a fitted family."""

    def __init__(self, settings: RegistrationFamily, model: Model, registered: Registered | None) -> None:
        """Use the registrations that the model was fitted to.

        Raises:
            ValueError: if there are none.
        """
        if registered is None:
            raise ValueError("expected the registrations of a registration family, got none")
        self._fields = registered.fields
        self.through_template = settings.mode == "template"
        warps = [tuple(int(value) for value in row) for row in model.tensors["warps"]]
        self._number = {(moving, target): number for moving, target, number in warps}
        self.skulls = sorted({moving for moving, _, _ in warps if moving != TEMPLATE})

    @cached_property
    def pairs(self) -> list[Pair]:
        """Return every ordered pair (moving, target) that can be warped."""
        if not self.through_template:
            return sorted(self._number)
        return [(one, other) for one in self.skulls for other in self.skulls if one != other]

    def field(self, moving: int, target: int, grid: Grid) -> torch.Tensor:
        """Return the field that warps one skull to another, in template mode composed of two."""
        if not self.through_template:
            return self.direct(moving, target)
        return compose(self.direct(TEMPLATE, target), self.direct(moving, TEMPLATE), grid)

    def direct(self, moving: int, target: int) -> torch.Tensor:
        """Return the (3, x, y, z) field of one registration."""
        number = self._number[moving, target]
        first = moving < target if not self.through_template else target == TEMPLATE
        return self._read(number, "there" if first else "back")

    def _read(self, number: int, name: str) -> torch.Tensor:
        return torch.from_numpy(self._fields[f"{number}.{name}"].astype(np.float32))

    def depth(self, skull: int) -> torch.Tensor:
        """Return the (x, y, z) depth of a skull on the fields' grid, plus its reach, in template mode."""
        return self._read(self._number[skull, TEMPLATE], "depth")

    def inwards(self) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield every skull with the field that warps the template to it."""
        for skull in self.skulls:
            yield skull, self.direct(TEMPLATE, skull)
