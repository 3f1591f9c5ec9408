"""Networks that can be built again from what a fitted family saves."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch

Given = ParamSpec("Given")
Network = TypeVar("Network", bound="RecordedNetwork")


class RecordedNetwork(torch.nn.Module):
    """A network that knows what it was built with; its ``__init__`` is ``recorded``."""

    arguments: dict[str, Any]
    """All arguments of its ``__init__`` by name, as JSON can write them."""

    @property
    def device(self) -> torch.device:
        """The device of its parameters."""
        return next(self.parameters()).device


def recorded(
    init: Callable[Concatenate[Network, Given], None],
) -> Callable[Concatenate[Network, Given], None]:
    """Keep the arguments of an ``__init__``, defaults included, as ``arguments`` of the network."""
    parameters = signature(init)

    @wraps(init)
    def record(self: Network, *args: Given.args, **kwargs: Given.kwargs) -> None:
        init(self, *args, **kwargs)
        bound = parameters.bind(self, *args, **kwargs)
        bound.apply_defaults()
        self.arguments = {name: value for name, value in bound.arguments.items() if name != "self"}

    return record
