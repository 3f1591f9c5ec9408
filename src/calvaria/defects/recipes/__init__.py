"""Draws the parameters of a defect; nothing is cut here.

A recipe places its defect by a ray from the vault's centre to the outer surface of the skull, and sizes
it in millimetres. Directions: azimuth 0 is the patient's right (+x), 90 the front (+y), -90 the back;
elevation 90 is the vertex. The module of a kind has ``draw(rng, surface, recipe) -> Shape``; a user's own
function is called by ``custom``.
"""

import numpy as np

from calvaria.config import (
    CraniotomyRecipe,
    CuboidRecipe,
    CustomRecipe,
    EllipsoidRecipe,
    Recipe,
    RoundedBoxRecipe,
    SpheresRecipe,
)
from calvaria.defects.defect import Defect, from_json, to_json
from calvaria.defects.recipes import (
    craniotomy,
    cuboid,
    custom,
    ellipsoid,
    options,
    regions,
    rounded_box,
    several,
    spheres,
)
from calvaria.defects.shapes import Shape
from calvaria.defects.surface import Surface
from calvaria.geometry.grid import Grid
from calvaria.skull.vault import Vault, find_vault

__all__ = ["Defect", "from_json", "sample_defect", "to_json"]


def sample_defect(
    rng: np.random.Generator, skull: np.ndarray, grid: Grid, recipe: Recipe, vault: Vault | None = None
) -> Defect:
    """Draws one defect of a recipe for this skull.

    Args:
        rng: the defect's own generator.
        skull: (x, y, z) bool or uint8 complete skull, bone where it is not 0.
        vault: the skull's vault if it is known already; finding it reads the whole volume.

    Returns:
        Parameters in world mm, rounded to 1e-4.

    Raises:
        InputError: if the skull has no vault.
        ConfigError: if a function of the user's own cannot be called.
    """
    if isinstance(recipe, CustomRecipe):
        return custom.draw(rng, skull, grid, recipe)
    vault = regions.on_floor(recipe, vault or find_vault(skull, grid))
    surface = Surface(skull, grid, vault)
    shapes = several.draw(rng, surface, recipe, _draw)
    return Defect(
        vault=vault,
        shapes=shapes,
        pieces=len(shapes),
        healing=options.healing(rng, recipe.healed),
        unseen=options.unseen(rng, vault, recipe.field_of_view),
    )


def _draw(rng: np.random.Generator, surface: Surface, recipe: Recipe) -> Shape:
    match recipe:
        case SpheresRecipe():
            return spheres.draw(rng, surface, recipe)
        case RoundedBoxRecipe():
            return rounded_box.draw(rng, surface, recipe)
        case EllipsoidRecipe():
            return ellipsoid.draw(rng, surface, recipe)
        case CuboidRecipe():
            return cuboid.draw(rng, surface, recipe)
        case CraniotomyRecipe():
            return craniotomy.draw(rng, surface, recipe)
    raise ValueError(f"no shape is drawn by the recipe {recipe.kind}")
