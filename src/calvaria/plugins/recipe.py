"""The contract of a defect recipe; docs/own_defects.md shows how a package provides its own.

Most recipes derive from ``PlacedRecipe`` or ``ShapeRecipe`` of `calvaria.defects.recipes.base`, which
require only one method and provide the options of the built-in recipes.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from calvaria.geometry.grid import Grid
from calvaria.plugins.section import Section

Vault = Any  # `calvaria.skull.vault.Vault`; defined in a layer above this one
Defect = Any  # `calvaria.defects.defect.Defect`; likewise


class Recipe(Section, ABC):
    """A recipe of defects: its fields are its section of the config, below ``inject.recipes``."""

    if TYPE_CHECKING:  # declared by every recipe, after the fields of its bases
        kind: str

    weight: float = Field(1.0, gt=0)
    """Relative frequency of this recipe."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, skull: np.ndarray, grid: Grid, vault: Vault) -> Defect:
        """Draw the parameters of one defect without cutting it.

        Args:
            rng: the only source of random numbers.
            skull: (x, y, z) bool or uint8 complete skull, bone where it is not 0.
            vault: of the skull.

        Returns:
            Parameters in world mm; round them to 1e-4, so that they are identical on every machine.
        """

    def misplaced(self, labels: np.ndarray, grid: Grid, vault: Vault) -> str | None:
        """Return why a case is outside the region of this recipe, without numbers; None if it is inside.

        Args:
            labels: (x, y, z) uint8: 0 background, 1 remaining bone, 2 implant, which is not empty.
            vault: of the defect.
        """
        return None

    @property
    def modules(self) -> tuple[str, ...]:
        """Return the modules with the code of this recipe; cases are recomputed when that code changes."""
        return (type(self).__module__,)
