"""Draw one usable synthetic defect for a skull."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from calvaria.config import Inject
from calvaria.defects.apply import cut_defect
from calvaria.defects.checks import check_case
from calvaria.defects.defect import Defect
from calvaria.errors import BudgetError
from calvaria.geometry.grid import Grid
from calvaria.skull.vault import Vault, find_vault


@dataclass(frozen=True)
class Injected:
    """A usable case and its origin: ``apply_defect(skull, grid, defect)`` reproduces the labels."""

    labels: np.ndarray  # (x, y, z) uint8: 0 background, 1 remaining bone, 2 implant
    recipe: str  # its name in the config
    defect: Defect
    attempt: int  # index of the draw, from 0


def inject_defect(
    skull: np.ndarray,
    grid: Grid,
    inject: Inject,
    rng_for_attempt: Callable[[int], np.random.Generator],
    vault: Vault | None = None,
) -> Injected:
    """Draw defects until one makes a usable case.

    The recipe is picked once, with the generator of attempt 0: picking it again after a failed draw would
    shift the mixture away from its weights, towards the recipes that fail less.

    Args:
        skull: (x, y, z) bool or uint8 complete skull, bone where it is not 0.
        inject: recipes, limits and the maximum number of draws.
        rng_for_attempt: a fresh generator for each attempt 0, 1, ...
        vault: of the skull; pass it to draw several defects, as locating it reads the whole volume.

    Raises:
        BudgetError: if no draw was usable; the message counts the reasons.
        InputError: if the skull has no vault.
        ConfigError: if a custom function cannot be called.
    """
    vault = vault or find_vault(skull, grid)
    rng = rng_for_attempt(0)
    name = _pick(rng, inject)
    faults: Counter[str] = Counter()
    for attempt in range(inject.attempts):
        if attempt:
            rng = rng_for_attempt(attempt)
        recipe = inject.recipes[name]
        defect: Defect = recipe.draw(rng, skull, grid, vault)
        labels, implants = cut_defect(skull, grid, defect)
        fault = check_case(labels, grid, inject.implant_ml, defect.pieces, implants)
        fault = fault or recipe.misplaced(labels, grid, defect.vault)
        if fault is None:
            return Injected(labels, name, defect, attempt)
        faults[fault] += 1
    reasons = ", ".join(f"{fault} ({count})" for fault, count in faults.most_common())
    least, most = inject.implant_ml
    raise BudgetError(
        f"inject.recipes.{name}: none of {inject.attempts} draws made a usable defect: {reasons}; "
        f"change the recipe's sizes, widen inject.implant_ml (now {least:g} to {most:g} ml) "
        f"or raise inject.attempts"
    )


def _pick(rng: np.random.Generator, inject: Inject) -> str:
    """Return the name of a recipe, drawn by weight; the order in the config does not matter."""
    names = sorted(inject.recipes)
    left = rng.random() * sum(inject.recipes[name].weight for name in names)
    for name in names[:-1]:
        left -= inject.recipes[name].weight
        if left < 0:
            return name
    return names[-1]
