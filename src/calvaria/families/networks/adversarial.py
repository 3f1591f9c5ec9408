"""Generator of skulls, and its critic."""

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
    """Generator of fields from noise; each entry of ``channels`` but the first doubles the resolution.

    The first entries of the noise are also the coordinates of a ``ShapeModel``, to whose output the
    convolutions add a residual.
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
        """Return folded differences from the mean, the critic's input, for noise (n, latent_size)."""
        output: torch.Tensor = self.last(self.network(noise))
        return self.shapes.folded(noise[:, : self.shapes.modes]) + output.float()

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        """Return fields (n, inputs, x, y, z) for noise (n, latent_size)."""
        return unfold(self.differences(noise), self.patch) + self.shapes.mean


def new_critic(shape: tuple[int, int, int], inputs: int, patch: int, channels: Sequence[int]) -> Critic:
    """Return a critic of folded differences, without normalisation because of the gradient penalty."""
    return Critic(
        in_shape=(inputs * patch**3, *(n // patch for n in shape)),
        channels=tuple(reversed(channels)),
        strides=[2] * len(channels),
        num_res_units=0,
        act="LEAKYRELU",
        norm=None,
        dropout=None,  # the default draws from torch's global generator, which is not reproducible
    ).to(memory_format=LAYOUT)
