"""The exponential moving average of a network's weights.

The arithmetic is that of diffusers' ``EMAModel``, to the bit; its module imports all of diffusers, 4 s for a
few lines (benchmarks/imports.md).
"""

from collections.abc import Iterable

import torch


class MovingAverage:
    """The average of some parameters over the steps of a training, recent steps counting more."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], decay: float) -> None:
        """Start with the parameters as they are.

        Args:
            decay: weight of the past in a step's average, 0 to 1; less in the first steps.
        """
        self.shadow_params = [parameter.detach().clone() for parameter in parameters]
        self.decay = decay
        self.optimization_step = 0  # steps done
        self._stored: list[torch.Tensor] = []

    @torch.no_grad()
    def step(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Take the parameters of a finished step into the average; those that are not learned are copied."""
        past = self.optimization_step
        self.optimization_step += 1
        share = 1 - (min((1 + past) / (10 + past), self.decay) if past else 0.0)
        for average, parameter in zip(self.shadow_params, parameters, strict=True):
            if parameter.requires_grad:
                average.sub_(share * (average - parameter))
            else:
                average.copy_(parameter)

    def copy_to(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Set parameters to their average."""
        for average, parameter in zip(self.shadow_params, parameters, strict=True):
            parameter.data.copy_(average)

    def store(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Remember parameters, for ``restore``."""
        self._stored = [parameter.detach().clone() for parameter in parameters]

    def restore(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Set parameters to what ``store`` remembered."""
        for stored, parameter in zip(self._stored, parameters, strict=True):
            parameter.data.copy_(stored)
        self._stored = []
