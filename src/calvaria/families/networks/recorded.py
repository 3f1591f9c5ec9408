"""Networks that can be rebuilt from a stored model."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch

Given = ParamSpec("Given")
Network = TypeVar("Network", bound="RecordedNetwork")


class RecordedNetwork(torch.nn.Module):
    """A network with a record of its arguments; its ``__init__`` is decorated with ``recorded``."""

    arguments: dict[str, Any]
    """All arguments of ``__init__`` by name, JSON-serialisable."""

    @property
    def device(self) -> torch.device:
        """Return the device of the parameters."""
        return next(self.parameters()).device


def recorded(
    init: Callable[Concatenate[Network, Given], None],
) -> Callable[Concatenate[Network, Given], None]:
    """Decorate an ``__init__`` to store its arguments, with defaults, as the network's ``arguments``."""
    parameters = signature(init)

    @wraps(init)
    def record(self: Network, *args: Given.args, **kwargs: Given.kwargs) -> None:
        init(self, *args, **kwargs)
        bound = parameters.bind(self, *args, **kwargs)
        bound.apply_defaults()
        self.arguments = {name: value for name, value in bound.arguments.items() if name != "self"}

    return record
