"""The exponential moving average of a network's weights.

Results equal those of diffusers' ``EMAModel`` bit for bit, without its import of all of diffusers, which
takes 4 s (benchmarks/imports.md).
"""

from collections.abc import Iterable

import torch


class MovingAverage:
    """Exponential moving average of parameters over the steps of a training."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], decay: float) -> None:
        """Start with the current parameters.

        Args:
            decay: weight of the previous average in a step, 0 to 1; lower in the first steps.
        """
        self.averages = [parameter.detach().clone() for parameter in parameters]
        self.decay = decay
        self.steps = 0  # steps done
        self._stored: list[torch.Tensor] = []

    @torch.no_grad()
    def step(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Update the average with the parameters of a finished step; copy those that are not trained."""
        past = self.steps
        self.steps += 1
        share = 1 - (min((1 + past) / (10 + past), self.decay) if past else 0.0)
        for average, parameter in zip(self.averages, parameters, strict=True):
            if parameter.requires_grad:
                average.sub_(share * (average - parameter))
            else:
                average.copy_(parameter)

    def copy_to(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Set the parameters to their average."""
        for average, parameter in zip(self.averages, parameters, strict=True):
            parameter.data.copy_(average)

    def store(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Store a copy of the parameters for ``restore``."""
        self._stored = [parameter.detach().clone() for parameter in parameters]

    def restore(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Set the parameters to those of the last ``store``."""
        for stored, parameter in zip(self._stored, parameters, strict=True):
            parameter.data.copy_(stored)
        self._stored = []
