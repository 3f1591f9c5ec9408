"""The generative networks: MONAI's, in thin diffusers models that know how a skull goes in and out.

A skull is a large volume with little in it. Folding blocks of voxels into channels before the first
convolution, and unfolding them after the last, saves most of the cost at full resolution; and every
network only has to learn how a skull differs from the population's mean, which it carries with it.

Every volume is (n, inputs, x, y, z) float32, the fields of ``families/representation``.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from monai.inferers.utils import sliding_window_inference
from monai.networks.layers.vector_quantizer import EMAQuantizer
from monai.networks.nets import Critic, DiffusionModelUNet, Generator, VarAutoEncoder
from monai.networks.nets.autoencoderkl import AEKLResBlock, Decoder, Encoder
from monai.networks.nets.diffusion_model_unet import DiffusionUNetResnetBlock
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from calvaria.families import Draw, Model

FIRST_LOG_SIGMA = -3.0
FIRST_LOG_VARIANCE = -2.0
TILE_OVERLAP = 0.5
BLOCK_CHANNELS = 16
LOG_VARIANCES = (-10.0, 2.0)  # beyond them an introspective encoder rejects by the variance alone
GROUPS = 8  # of the group normalisations
LAYOUT = torch.channels_last_3d  # about 1.5 times faster convolutions on the CPU, and right for tensor cores

Network = TypeVar("Network", bound=ModelMixin)


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


def linear(folded: int, channels: int) -> tuple[torch.nn.Conv3d, torch.nn.Conv3d]:
    """From folded blocks of voxels to a few channels, and back."""
    return (
        torch.nn.Conv3d(folded, channels, 1, bias=False),
        torch.nn.Conv3d(channels, folded, 1, bias=False),
    )


def start_linear(
    project: torch.nn.Conv3d, expand: torch.nn.Conv3d, differences: torch.Tensor, factor: int
) -> None:
    """Sets what ``linear`` gave to the principal components of the blocks of (n, c, x, y, z) differences."""
    covariance = torch.zeros(project.in_channels, project.in_channels, dtype=torch.float64)
    for difference in differences:
        rows = fold(difference[None], factor)[0].flatten(1).double()
        covariance += rows @ rows.T
    found = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, : project.out_channels].float()
    found = found * found[found.abs().argmax(0), torch.arange(found.shape[1])].sign()
    with torch.no_grad():
        project.weight.copy_(found.T[..., None, None, None])
        expand.weight.copy_(found[..., None, None, None])


def silent(channels: int) -> torch.nn.Conv3d:
    """A last layer from which nothing comes before training."""
    layer = torch.nn.Conv3d(channels, channels, 1)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    return layer


class Gaussian(torch.nn.Module):
    """A Gaussian of volumes: a mean, principal components, and the same variance in all other directions.

    Source: Tipping and Bishop 1999, Probabilistic principal component analysis.
    """

    mean: torch.Tensor
    components: torch.Tensor
    deviations: torch.Tensor
    rest: torch.Tensor

    def __init__(self, shape: tuple[int, ...], modes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, *shape))
        self.register_buffer("components", torch.zeros(modes, *shape))
        self.register_buffer("deviations", torch.ones(modes))
        self.register_buffer("rest", torch.ones(()))

    def start(self, values: torch.Tensor) -> None:
        """Fits it to (n, c, i, j, k) values."""
        self.mean.copy_(values.mean(0))
        rows = (values - values.mean(0)).flatten(1).double()
        squares, vectors = torch.linalg.eigh(rows @ rows.T / len(rows))
        squares, vectors = squares.flip(0).clamp(min=0), vectors.flip(1)
        kept = len(self.deviations)
        if kept:
            found = vectors[:, :kept].T @ rows
            found = found / found.norm(dim=1, keepdim=True).clamp(min=1e-9)
            signs = found[torch.arange(kept), found.abs().argmax(1)].sign()
            self.components.copy_((found * signs[:, None]).view_as(self.components))
            self.deviations.copy_(squares[:kept].sqrt().clamp(min=1e-3))
        self.rest.copy_((squares[kept:].sum() / (rows.shape[1] - kept)).sqrt().clamp(min=1e-3))

    def coordinates(self, values: torch.Tensor) -> torch.Tensor:
        """(n, modes) how far values are along each component, in standard deviations."""
        return self._inside(values - self.mean) / self.deviations

    def at(self, coordinates: torch.Tensor) -> torch.Tensor:
        """The values (n, c, i, j, k) at coordinates (n, modes)."""
        spread = torch.einsum("nm,mcijk->ncijk", coordinates * self.deviations, self.components)
        return self.mean + spread

    def whiten(self, values: torch.Tensor) -> torch.Tensor:
        """Values to such as are distributed like noise, if they are of this Gaussian."""
        return self._scaled(values - self.mean, 1 / self.deviations, 1 / self.rest)

    def colour(self, white: torch.Tensor) -> torch.Tensor:
        """The inverse of ``whiten``."""
        return self.mean + self._scaled(white, self.deviations, self.rest)

    def along(self, values: torch.Tensor) -> torch.Tensor:
        """The part of values that lies along the components."""
        return torch.einsum("nm,mcijk->ncijk", self._inside(values), self.components)

    def _inside(self, values: torch.Tensor) -> torch.Tensor:
        return torch.einsum("ncijk,mcijk->nm", values, self.components)

    def _scaled(self, values: torch.Tensor, along: torch.Tensor, across: torch.Tensor) -> torch.Tensor:
        """Values scaled along every component, and by one factor in all other directions."""
        inside = self._inside(values) * (along - across)
        return across * values + torch.einsum("nm,mcijk->ncijk", inside, self.components)


class Autoencoder(ModelMixin, ConfigMixin):
    """A convolutional autoencoder beside a linear one; with ``codes``, its latent is quantised.

    The linear one projects blocks of voxels on their principal components, and so already rebuilds a skull
    before any training; the convolutions learn what it misses. (The idea of a shortcut around an
    autoencoder's resampling: Chen et al. 2024, Deep compression autoencoder.)

    The quantiser is van den Oord et al. 2017, with codebooks learned by moving averages, shared by groups of
    channels.
    """

    @register_to_config
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
        encoded = latent_channels * (1 if codes else 2)  # mean and logarithm of sigma
        self.encoder = Encoder(in_channels=inputs * patch**3, out_channels=encoded, **shared)
        self.decoder = Decoder(in_channels=latent_channels, out_channels=inputs * patch**3, **shared)
        self.project, self.expand = linear(inputs * self.factor**3, latent_channels)
        self.quantiser: Any = (
            EMAQuantizer(3, codes, latent_channels // groups, commitment_cost=commitment) if codes else None
        )
        for last in (self.encoder.blocks[-1], self.decoder.blocks[-1]):
            for parameter in last.parameters():
                torch.nn.init.zeros_(parameter)
        if not codes:
            with torch.no_grad():
                [*self.encoder.blocks[-1].parameters()][-1][latent_channels:] = FIRST_LOG_SIGMA
        self.to(memory_format=LAYOUT)

    def start(self, mean: torch.Tensor, fields: torch.Tensor) -> None:
        """Sets the mean, (c, x, y, z), and the shortcut to the principal components of fields' blocks."""
        self.mean.copy_(mean)
        start_linear(self.project, self.expand, fields - mean, self.factor)

    def encode(self, fields: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Fields to latents (n, c, i, j, k) and their sigma, which is empty if they are to be quantised."""
        difference = fields - self.mean
        linear = self.project(fold(difference, self.factor))
        encoded = self.encoder(fold(difference, self.patch))
        count = self.latent_shape[0]
        sigma = encoded[:, count:].float().clamp(-10, 5).exp()
        return (linear + encoded[:, :count]).float(), sigma

    def quantise(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Latents to the nearest codes', the commitment loss, and the (n * groups, i, j, k) codes."""
        assert self.quantiser is not None
        n, c, *space = latents.shape
        grouped = latents.reshape(n * self.groups, c // self.groups, *space)
        quantised, loss, codes = self.quantiser(grouped)
        return quantised.reshape(latents.shape), loss, codes

    def decode(self, latents: torch.Tensor, tile: int | None = None) -> torch.Tensor:
        """Latents to fields; quantises them first if that is this network's way.

        Args:
            tile: edge of the overlapping pieces, in voxels of the latent, in which a large volume is decoded.
        """
        if self.quantiser is not None and not self.training:
            latents = self.quantise(latents)[0]
        if tile is None or all(n <= tile for n in latents.shape[2:]):
            return self._decode(latents) + self.mean
        roi = [min(tile, n) for n in latents.shape[2:]]
        pieces = sliding_window_inference(
            latents, roi, 1, self._decode, overlap=TILE_OVERLAP, mode="gaussian", progress=False
        )
        assert isinstance(pieces, torch.Tensor)
        return pieces + self.mean

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        linear = unfold(self.expand(latents).float(), self.factor)
        return linear + unfold(self.decoder(latents).float(), self.patch)


class ShapeModel(torch.nn.Module):
    """A linear model of skulls: their mean and principal components, of blocks of voxels and then of all.

    Its coordinates are standard normal. It is not trained: the network beside it learns the rest.
    """

    mean: torch.Tensor

    def __init__(self, shape: tuple[int, int, int], inputs: int, patch: int, modes: int) -> None:
        super().__init__()
        self.patch, self.modes = patch, modes
        self.register_buffer("mean", torch.zeros(1, inputs, *shape))
        channels = min(BLOCK_CHANNELS, inputs * patch**3)
        self.project, self.expand = linear(inputs * patch**3, channels)
        self.gaussian = Gaussian((channels, *(n // patch for n in shape)), modes)
        self.requires_grad_(False)

    def start(self, mean: torch.Tensor, fields: torch.Tensor) -> None:
        """Fits it to training fields (n, c, x, y, z), their mirror images and their mean (c, x, y, z)."""
        self.mean.copy_(mean)
        start_linear(self.project, self.expand, fields - mean, self.patch)
        both = torch.cat([fields, fields.flip(2)])
        with torch.no_grad():
            self.gaussian.start(torch.cat([self._blocks(field[None]) for field in both]))

    def coordinates(self, fields: torch.Tensor) -> torch.Tensor:
        """(n, modes) of fields."""
        return self.gaussian.coordinates(self._blocks(fields)).float()

    def folded(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Coordinates (n, modes) to folded differences from the mean."""
        return self.expand(self.gaussian.at(coordinates)).float()

    def _blocks(self, fields: torch.Tensor) -> torch.Tensor:
        return self.project(fold(fields - self.mean, self.patch))


class DenseAutoencoder(ModelMixin, ConfigMixin):
    """A variational autoencoder whose latent is one vector: skulls to (n, latent_size) and back.

    Beside the convolutions stands a ``ShapeModel``, which is all that this is before training.
    """

    @register_to_config
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
            out_channels=inputs * patch**3,
            latent_size=latent_size,
            channels=channels,
            strides=[1] + [2] * (len(channels) - 1),
            num_res_units=1,
            act="LEAKYRELU",
            norm=("GROUP", {"num_groups": GROUPS}),
        )  # not in channels-last order: MONAI flattens it with a view
        for layer in (self.network.mu, self.network.logvar):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        torch.nn.init.constant_(self.network.logvar.bias, FIRST_LOG_VARIANCE)
        self.last = silent(inputs * patch**3)

    @property
    def encoding(self) -> list[torch.nn.Parameter]:
        """The parameters of the encoder."""
        network = self.network
        parts = (network.encode, network.intermediate, network.mu, network.logvar)
        return [parameter for part in parts for parameter in part.parameters()]

    @property
    def decoding(self) -> list[torch.nn.Parameter]:
        """The parameters of the decoder."""
        parts = (self.network.decodeL, self.network.decode, self.last)
        return [parameter for part in parts for parameter in part.parameters()]

    def encode(self, fields: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Fields to the mean and the logarithm of the variance of their latent, (n, latent_size) each."""
        mu, logvar = self.network.encode_forward(fold(fields - self.shapes.mean, self.patch).contiguous())
        linear = self.shapes.coordinates(fields)
        padded = functional.pad(linear, (0, mu.shape[1] - linear.shape[1]))
        return mu.float() + padded, logvar.float().clamp(*LOG_VARIANCES)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents to fields."""
        output = self.last(self.network.decode_forward(latents, use_sigmoid=False))
        folded = self.shapes.folded(latents[:, : self.shapes.modes]) + output.float()
        return unfold(folded, self.patch) + self.shapes.mean


class SkullGenerator(ModelMixin, ConfigMixin):
    """Noise (n, latent_size) to skulls; each channel entry but the first doubles the resolution.

    Its first entries are also the coordinates of a ``ShapeModel``, from which the convolutions depart.
    """

    @register_to_config
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
        self.last = silent(inputs * patch**3)
        self.to(memory_format=LAYOUT)

    def differences(self, noise: torch.Tensor) -> torch.Tensor:
        """Noise to folded differences from the mean, which is what a critic sees."""
        output: torch.Tensor = self.last(self.network(noise))
        return self.shapes.folded(noise[:, : self.shapes.modes]) + output.float()

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        """Noise to fields."""
        return unfold(self.differences(noise), self.patch) + self.shapes.mean


def critic(shape: tuple[int, int, int], inputs: int, patch: int, channels: Sequence[int]) -> Critic:
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


class Denoiser(ModelMixin, ConfigMixin):
    """A U-Net that denoises whitened latents: untrained, it samples the Gaussian that fits the latents.

    A few directions of latents, the shape and size of heads, vary so much more than the others that a sampler
    of few steps would miss them if they were not whitened; whitened, they are drawn right by any sampler. The
    U-Net sees what they amount to and learns the rest.
    """

    @register_to_config
    def __init__(
        self,
        latent_shape: tuple[int, int, int, int],
        modes: int,
        channels: tuple[int, ...],
        patch: int = 1,
        conditions: int = 0,
    ) -> None:
        super().__init__()
        self.patch, self.conditions = patch, conditions
        self.multiple = patch * 2 ** (len(channels) - 1)
        self.gaussian = Gaussian(latent_shape, modes)
        folded = latent_shape[0] * patch**3
        self.network = DiffusionModelUNet(
            spatial_dims=3,
            in_channels=2 * folded + (conditions + 1 if conditions else 0),
            out_channels=folded,
            channels=channels,
            attention_levels=[False] * (len(channels) - 1) + [True],
            num_res_blocks=1,
            num_head_channels=channels[-1] // 2,
            norm_num_groups=GROUPS,
        )
        self.to(memory_format=LAYOUT)

    def forward(
        self,
        noisy: torch.Tensor,
        guess: torch.Tensor,
        times: torch.Tensor,
        condition: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What is to be added to the prediction that would be best of Gaussian latents.

        Args:
            noisy: (n, c, i, j, k) whitened latents.
            guess: what is known of the clean ones, whitened.
            times: (n,) between 0 and the number of diffusion steps.
            condition: (n, k) standardised measures, NaN where they are withheld.
        """
        i, j, k = noisy.shape[2:]
        padding = [(-n) % self.multiple for n in (k, j, i)]
        seen = torch.cat([noisy, self.gaussian.colour(guess)], dim=1)
        padded = functional.pad(seen, (0, padding[0], 0, padding[1], 0, padding[2]))
        folded = fold(padded.contiguous(), self.patch)
        if self.conditions:
            assert condition is not None
            told = torch.cat([condition.nan_to_num(0), condition[:, :1].isnan().float()], dim=1)
            planes = told[:, :, None, None, None].expand(-1, -1, *folded.shape[2:])
            folded = torch.cat([folded, planes], dim=1)
        result: torch.Tensor = self.network(folded.contiguous(memory_format=LAYOUT), timesteps=times)
        learned = unfold(result.float(), self.patch)[:, :, :i, :j, :k]
        # Along the components the Gaussian is all that a few dozen skulls can tell, and an error that many
        # places share would add up there.
        return learned - self.gaussian.along(learned)


def recompute_activations(network: torch.nn.Module) -> None:
    """Lets every residual block forget its activations and compute them again for the backward pass."""
    for module in network.modules():
        if isinstance(module, AEKLResBlock | DiffusionUNetResnetBlock):
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)


def model_of(network: ModelMixin, tensors: dict[str, np.ndarray], record: dict[str, Any]) -> Model:
    """A fitted family whose network can be built again from what is saved."""
    described = {name: value for name, value in network.config.items() if not name.startswith("_")}
    parameters = sum(p.numel() for p in network.parameters())
    return Model(
        {**weights(network, "network"), **tensors}, {"network": described, "parameters": parameters, **record}
    )


def network_of(kind: type[Network], model: Model, device: torch.device) -> Network:
    """The network of a fitted family, ready to predict."""
    network: Network = kind.from_config(model.record["network"])
    restore(network, model.tensors, "network", device)
    return network


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
