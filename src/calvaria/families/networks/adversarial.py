"""A generator of skulls, and its critic."""

from collections.abc import Sequence

import torch

from calvaria.families.networks.linear import ShapeModel, silent
from calvaria.families.networks.recorded import RecordedNetwork, recorded
from calvaria.training.folding import LAYOUT, unfold
from calvaria.utils.lean_imports import without_init

with without_init("monai"):
    from monai.networks.nets.classifier import Critic
    from monai.networks.nets.generator import Generator


class SkullGenerator(RecordedNetwork):
    """Noise (n, latent_size) to skulls; each channel entry but the first doubles the resolution.

    Its first entries are also the coordinates of a ``ShapeModel``, from which the convolutions depart.
    """

    @recorded
    def __init__(
        self,
        shape: tuple[int, int, int],
        inputs: int,
        patch: int,
        channels: tuple[int, ...],
        latent_size: int,
        modes: int,
    ) -> None:
        super().__init__()
        doublings = len(channels) - 1
        self.patch = patch
        self.shapes = ShapeModel(shape, inputs, patch, modes)
        self.network = Generator(
            latent_shape=(latent_size,),
            start_shape=(channels[0], *(n // (patch * 2**doublings) for n in shape)),
            channels=(*channels[1:], inputs * patch**3),
            strides=(*[2] * doublings, 1),
            num_res_units=1,
            act="LEAKYRELU",
        )
        self.last = silent(inputs * patch**3, inputs * patch**3)
        self.to(memory_format=LAYOUT)  # type: ignore[call-overload]

    def differences(self, noise: torch.Tensor) -> torch.Tensor:
        """Noise to folded differences from the mean, which is what a critic sees."""
        output: torch.Tensor = self.last(self.network(noise))
        return self.shapes.folded(noise[:, : self.shapes.modes]) + output.float()

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        """Noise to fields."""
        return unfold(self.differences(noise), self.patch) + self.shapes.mean


def new_critic(shape: tuple[int, int, int], inputs: int, patch: int, channels: Sequence[int]) -> Critic:
    """Folded differences to one score each; without normalisation, as the gradient penalty asks."""
    return Critic(
        in_shape=(inputs * patch**3, *(n // patch for n in shape)),
        channels=tuple(reversed(channels)),
        strides=[2] * len(channels),
        num_res_units=0,
        act="LEAKYRELU",
        norm=None,
        dropout=None,  # the default draws from torch's global generator, and training would not repeat
    ).to(memory_format=LAYOUT)
