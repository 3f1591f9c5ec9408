"""The generative networks, built from MONAI, and how volumes go in and out of them.

A skull is a large volume with little in it. Folding blocks of voxels into channels before the first
convolution, and unfolding them after the last, saves most of the cost at full resolution; and every
network only has to learn how a skull differs from the population's mean.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from monai.networks.nets import AutoencoderKL, Critic, DiffusionModelUNet, Generator

from calvaria.config import LdmFamily, VaeFamily, WganFamily
from calvaria.families import Draw

FIRST_OUTPUT = 0.1  # scale of the generator's last layer before training
LAYOUT = torch.channels_last_3d  # about 1.5 times faster convolutions on the CPU, and right for tensor cores


def fold(volume: torch.Tensor, patch: int) -> torch.Tensor:
    """(n, c, x, y, z) to (n, c * patch^3, x / patch, y / patch, z / patch)."""
    n, c, x, y, z = volume.shape
    blocks = volume.reshape(n, c, x // patch, patch, y // patch, patch, z // patch, patch)
    return blocks.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, c * patch**3, x // patch, y // patch, z // patch)


def unfold(channels: torch.Tensor, patch: int) -> torch.Tensor:
    """The inverse of ``fold``."""
    n, c, x, y, z = channels.shape
    blocks = channels.reshape(n, c // patch**3, patch, patch, patch, x, y, z)
    return blocks.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(n, c // patch**3, x * patch, y * patch, z * patch)


def autoencoder(settings: VaeFamily) -> AutoencoderKL:
    """A KL autoencoder over folded volumes; its latent is ``patch * 2^(levels - 1)`` times smaller."""
    levels = len(settings.channels)
    return AutoencoderKL(
        spatial_dims=3,
        in_channels=settings.patch**3,
        out_channels=settings.patch**3,
        channels=settings.channels,
        latent_channels=settings.latent_channels,
        num_res_blocks=1,
        attention_levels=[False] * levels,
        norm_num_groups=8,
        with_encoder_nonlocal_attn=False,
        with_decoder_nonlocal_attn=False,
    ).to(memory_format=LAYOUT)


def generator(settings: WganFamily, shape: tuple[int, int, int]) -> Generator:
    """Noise (n, latent_size) to folded volumes; each channel entry but the first doubles the resolution."""
    doublings = len(settings.channels) - 1
    start = [n // (settings.patch * 2**doublings) for n in shape]
    network = Generator(
        latent_shape=(settings.latent_size,),
        start_shape=(settings.channels[0], *start),
        channels=(*settings.channels[1:], settings.patch**3),
        strides=(*[2] * doublings, 1),
        num_res_units=1,
        act="LEAKYRELU",
    ).to(memory_format=LAYOUT)
    with torch.no_grad():  # the first samples are close to the mean skull, and training departs from there
        for parameter in network.conv[-1].parameters():
            parameter.mul_(FIRST_OUTPUT)
    return network


def critic(settings: WganFamily, shape: tuple[int, int, int]) -> Critic:
    """Folded volumes to one score each; without normalisation, as the gradient penalty asks."""
    channels = tuple(reversed(settings.channels))
    return Critic(
        in_shape=(settings.patch**3, *(n // settings.patch for n in shape)),
        channels=channels,
        strides=[2] * len(channels),
        num_res_units=0,
        act="LEAKYRELU",
        norm=None,
        dropout=None,  # the default draws from torch's global generator, and training would not repeat
    ).to(memory_format=LAYOUT)


def denoiser(settings: LdmFamily, latent_channels: int) -> DiffusionModelUNet:
    """The U-Net that denoises latents; attention on the coarsest level."""
    levels = len(settings.channels)
    return DiffusionModelUNet(
        spatial_dims=3,
        in_channels=latent_channels,
        out_channels=latent_channels,
        channels=settings.channels,
        attention_levels=[False] * (levels - 1) + [True],
        num_res_blocks=1,
        num_head_channels=settings.channels[-1] // 2,
        norm_num_groups=8,
    ).to(memory_format=LAYOUT)


def weights(network: torch.nn.Module, prefix: str) -> dict[str, np.ndarray]:
    """The network's state as named arrays."""
    return {f"{prefix}.{name}": value.cpu().numpy() for name, value in network.state_dict().items()}


def restore(
    network: torch.nn.Module, tensors: dict[str, np.ndarray], prefix: str, device: torch.device
) -> None:
    """Loads what ``weights`` gave into the network, moves it to the device and makes it ready to predict."""
    state = {
        name.removeprefix(f"{prefix}."): torch.from_numpy(value)
        for name, value in tensors.items()
        if name.startswith(f"{prefix}.")
    }
    network.load_state_dict(state)
    network.to(device).eval()


def full_batches(draws: Sequence[Draw], size: int) -> Iterator[tuple[list[Draw], int]]:
    """Batches of exactly ``size`` draws, the last one padded, each with the number that really count.

    A network's result can differ in its last bits with the size of the batch, so that never changes.
    """
    for first in range(0, len(draws), size):
        batch = list(draws[first : first + size])
        yield batch + [batch[-1]] * (size - len(batch)), len(batch)
