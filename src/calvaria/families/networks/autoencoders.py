"""Autoencoders of fields."""

from typing import Any

import torch
from torch.nn import functional

from calvaria.families.networks import GROUPS
from calvaria.families.networks.linear import ShapeModel, linear, silent, start_linear
from calvaria.families.networks.quantiser import Quantiser
from calvaria.families.networks.recorded import RecordedNetwork, recorded
from calvaria.training.folding import LAYOUT, fold, unfold
from calvaria.utils.lean_imports import without_init

with without_init("monai"):
    from monai.networks.nets.autoencoderkl import Decoder, Encoder
    from monai.networks.nets.varautoencoder import VarAutoEncoder

MOST_FOLDED = 128  # channels of a folded block; larger blocks are projected on as many components
FIRST_LOG_SIGMA = -3.0
FIRST_LOG_VARIANCE = -2.0
TILE_OVERLAP = 0.5
LOG_VARIANCES = (-10.0, 2.0)  # without limits an introspective encoder rejects by variance alone


class Autoencoder(RecordedNetwork):
    """A convolutional autoencoder in parallel with a linear one; with ``codes``, the latent is quantised.

    The linear autoencoder projects blocks of voxels on their principal components, so that skulls are
    reconstructed even before training; the convolutions learn the residual. (The idea of a shortcut around
    an autoencoder's resampling: Chen et al. 2024, Deep compression autoencoder.)

    The quantiser is that of van den Oord et al. 2017, with a codebook that is learned by moving averages
    and shared by groups of channels.
    """

    @recorded
    def __init__(
        self,
        shape: tuple[int, int, int],
        inputs: int,
        patch: int,
        channels: tuple[int, ...],
        blocks: int,
        latent_channels: int,
        codes: int = 0,
        groups: int = 1,
        commitment: float = 0.25,
    ) -> None:
        super().__init__()
        self.mean: torch.Tensor
        self.patch, self.groups = patch, groups
        self.factor = patch * 2 ** (len(channels) - 1)
        self.latent_shape = (latent_channels, *(n // self.factor for n in shape))
        self.register_buffer("mean", torch.zeros(1, inputs, *shape))
        shared: dict[str, Any] = {
            "spatial_dims": 3,
            "channels": channels,
            "num_res_blocks": [blocks] * len(channels),
            "norm_num_groups": GROUPS,
            "norm_eps": 1e-6,
            "attention_levels": [False] * len(channels),
            "with_nonlocal_attn": False,
        }
        encoded = latent_channels * (1 if codes else 2)  # mean and log sigma
        folded = inputs * patch**3
        width = min(folded, MOST_FOLDED)
        self.to_block: torch.nn.Module
        self.from_block: torch.nn.Module
        if folded > width:
            self.to_block, self.from_block = linear(folded, width)
        else:
            self.to_block, self.from_block = torch.nn.Identity(), torch.nn.Identity()
        self.encoder = Encoder(in_channels=width, out_channels=encoded, **shared)
        self.decoder = Decoder(in_channels=latent_channels, out_channels=width, **shared)
        self.project, self.expand = linear(inputs * self.factor**3, latent_channels)
        self.quantiser = Quantiser(codes, latent_channels // groups, commitment) if codes else None
        for last in (self.encoder.blocks[-1], self.decoder.blocks[-1]):
            for parameter in last.parameters():
                torch.nn.init.zeros_(parameter)
        if not codes:
            with torch.no_grad():
                [*self.encoder.blocks[-1].parameters()][-1][latent_channels:] = FIRST_LOG_SIGMA
        self.to(memory_format=LAYOUT)  # type: ignore[call-overload]

    def start(self, mean: torch.Tensor, fields: torch.Tensor) -> None:
        """Set the mean (c, x, y, z), and the linear weights to principal components of fields' blocks."""
        self.mean.copy_(mean)
        start_linear(self.project, self.expand, fields - mean, self.factor)
        if isinstance(self.to_block, torch.nn.Conv3d) and isinstance(self.from_block, torch.nn.Conv3d):
            start_linear(self.to_block, self.from_block, fields - mean, self.patch)

    def encode(self, fields: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the latents (n, c, i, j, k) of fields and their sigma, which is empty with a quantiser."""
        difference = fields - self.mean
        linear = self.project(fold(difference, self.factor))
        encoded = self.encoder(self.to_block(fold(difference, self.patch)))
        count = self.latent_shape[0]
        sigma = encoded[:, count:].float().clamp(-10, 5).exp()
        return (linear + encoded[:, :count]).float(), sigma

    def quantise(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the quantised latents, the commitment loss, and the (n * groups, i, j, k) codes."""
        assert self.quantiser is not None
        n, c, *space = latents.shape
        grouped = latents.reshape(n * self.groups, c // self.groups, *space)
        quantised, loss, codes = self.quantiser(grouped)
        return quantised.reshape(latents.shape), loss, codes

    def decode(self, latents: torch.Tensor, tile: int | None = None) -> torch.Tensor:
        """Return the fields of latents; in evaluation mode, a quantiser is applied first.

        Args:
            tile: edge, in voxels of the latent, of the overlapping tiles of large volumes.
        """
        if self.quantiser is not None and not self.training:
            latents = self.quantise(latents)[0]
        if tile is None or all(n <= tile for n in latents.shape[2:]):
            return self._decode(latents) + self.mean
        with without_init("monai"):
            from monai.inferers.utils import sliding_window_inference

        roi = [min(tile, n) for n in latents.shape[2:]]
        pieces = sliding_window_inference(
            latents, roi, 1, self._decode, overlap=TILE_OVERLAP, mode="gaussian", progress=False
        )
        assert isinstance(pieces, torch.Tensor)
        return pieces + self.mean

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        linear = unfold(self.expand(latents).float(), self.factor)
        return linear + unfold(self.from_block(self.decoder(latents)).float(), self.patch)


class DenseAutoencoder(RecordedNetwork):
    """A variational autoencoder of fields whose latent is a vector, (n, latent_size).

    A ``ShapeModel`` is in parallel with the convolutions, which contribute nothing before training.
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
        self.patch = patch
        self.shapes = ShapeModel(shape, inputs, patch, modes)
        self.network = VarAutoEncoder(
            spatial_dims=3,
            in_shape=(inputs * patch**3, *(n // patch for n in shape)),
            out_channels=channels[0],
            latent_size=latent_size,
            channels=channels,
            strides=[1] + [2] * (len(channels) - 1),
            num_res_units=1,
            act="LEAKYRELU",
            norm=("GROUP", {"num_groups": GROUPS}),
        )  # not in channels-last order, since MONAI flattens with a view
        for layer in (self.network.mu, self.network.logvar):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        torch.nn.init.constant_(self.network.logvar.bias, FIRST_LOG_VARIANCE)
        self.last = silent(channels[0], inputs * patch**3)

    @property
    def encoding(self) -> list[torch.nn.Parameter]:
        """Return the parameters of the encoder."""
        network = self.network
        parts = (network.encode, network.intermediate, network.mu, network.logvar)
        return [parameter for part in parts for parameter in part.parameters()]

    @property
    def decoding(self) -> list[torch.nn.Parameter]:
        """Return the parameters of the decoder."""
        parts = (self.network.decodeL, self.network.decode, self.last)
        return [parameter for part in parts for parameter in part.parameters()]

    def encode(self, fields: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean and the log variance of the latents of fields, (n, latent_size) each."""
        mu, logvar = self.network.encode_forward(fold(fields - self.shapes.mean, self.patch).contiguous())
        linear = self.shapes.coordinates(fields)
        padded = functional.pad(linear, (0, mu.shape[1] - linear.shape[1]))
        return mu.float() + padded, logvar.float().clamp(*LOG_VARIANCES)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return the fields (n, inputs, x, y, z) of latents (n, latent_size)."""
        output = self.last(self.network.decode_forward(latents, use_sigmoid=False))
        folded = self.shapes.folded(latents[:, : self.shapes.modes]) + output.float()
        return unfold(folded, self.patch) + self.shapes.mean
