"""A user-defined function as a recipe."""

import importlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import Field

from calvaria.defects.defect import Defect
from calvaria.errors import ConfigError
from calvaria.geometry.grid import Grid
from calvaria.plugins.recipe import Recipe
from calvaria.skull.vault import Vault


class CustomRecipe(Recipe):
    """A custom recipe: a function that draws a defect; see docs/own_defects.md."""

    kind: Literal["custom"]
    """Selects this recipe: a custom function."""
    function: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """``package.module:name`` of a function ``name(rng, skull, grid, **parameters) -> Defect``."""
    parameters: dict[str, Any] = Field({})
    """Further arguments of the function."""

    def draw(self, rng: np.random.Generator, skull: np.ndarray, grid: Grid, vault: Vault) -> Defect:
        """Call the function.

        Raises:
            ConfigError: if it cannot be imported, does not take the parameters, or returns no Defect.
        """
        defect = self._function()(rng, skull, grid, **self.parameters)
        if not isinstance(defect, Defect):
            raise ConfigError(
                f"function {self.function} of a custom recipe: returned {type(defect).__name__}, expected "
                "calvaria.defects.defect.Defect; see docs/own_defects.md"
            )
        return defect

    @property
    def modules(self) -> tuple[str, ...]:
        """This module and that of the function."""
        return (*super().modules, self.function.split(":")[0])

    def _function(self) -> Callable[..., Any]:
        module, name = self.function.split(":")
        try:
            function = getattr(importlib.import_module(module), name)
        except ImportError as error:
            raise ConfigError(
                f"function {self.function} of a custom recipe: cannot import {module} ({error}); install its "
                "package, or put its folder into the environment variable PYTHONPATH"
            ) from None
        except AttributeError:
            raise ConfigError(
                f"function {self.function} of a custom recipe: {module} has no {name}; correct the name"
            ) from None
        self._check_arguments(function)
        checked: Callable[..., Any] = function
        return checked

    def _check_arguments(self, function: object) -> None:
        """Check that the function accepts the arguments; errors inside it keep their traceback."""
        import inspect

        try:
            if not callable(function):
                raise TypeError("it is not a function")
            inspect.signature(function).bind(None, None, None, **self.parameters)
        except TypeError as error:
            raise ConfigError(
                f"function {self.function} of a custom recipe: {error}; it must take (rng, skull, grid, "
                f"**parameters), and parameters are {', '.join(self.parameters) or 'none'}"
            ) from None
