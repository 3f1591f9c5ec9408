"""Calls a recipe that the user wrote."""

import importlib

import numpy as np

from calvaria.config import CustomRecipe
from calvaria.defects.defect import Defect
from calvaria.errors import ConfigError
from calvaria.geometry.grid import Grid


def draw(rng: np.random.Generator, skull: np.ndarray, grid: Grid, recipe: CustomRecipe) -> Defect:
    """What the function returns.

    Raises:
        ConfigError: if it cannot be imported, does not take the parameters, or returns no Defect.
    """
    module, name = recipe.function.split(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ConfigError(
            f"function {recipe.function} of a custom recipe: cannot import {module} ({error}); install its "
            "package, or put its folder into the environment variable PYTHONPATH"
        ) from None
    except AttributeError:
        raise ConfigError(
            f"function {recipe.function} of a custom recipe: {module} has no {name}; correct the name"
        ) from None
    _check_arguments(function, recipe)
    defect = function(rng, skull, grid, **recipe.parameters)
    if not isinstance(defect, Defect):
        raise ConfigError(
            f"function {recipe.function} of a custom recipe: returned {type(defect).__name__}, wanted "
            "calvaria.defects.defect.Defect; see docs/defects.md"
        )
    return defect


def _check_arguments(function: object, recipe: CustomRecipe) -> None:
    """That the call fits the function; errors inside the function keep their traceback."""
    import inspect

    try:
        if not callable(function):
            raise TypeError("it is not a function")
        inspect.signature(function).bind(None, None, None, **recipe.parameters)
    except TypeError as error:
        raise ConfigError(
            f"function {recipe.function} of a custom recipe: {error}; it must take (rng, skull, grid, "
            f"**parameters), and parameters are {', '.join(recipe.parameters) or 'none'}"
        ) from None
