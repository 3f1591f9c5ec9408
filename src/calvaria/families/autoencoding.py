"""Shared parts of the convolutional autoencoder families: data, loss, decoding threshold and sampling.

Samples come from a Gaussian fitted to the latents of the training skulls, whose covariance includes the
correlations between positions; the prior of a spatial latent does not.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from calvaria.families.autoencoder_family import AutoencoderFamily
from calvaria.families.local_gaussian import LocalGaussian
from calvaria.families.networks.autoencoders import Autoencoder
from calvaria.families.networks.models import full_batches, model_of, network_of, recompute_activations
from calvaria.families.representation import (
    CHANNELS,
    TRUNCATION_MM,
    decode,
    overlap_threshold,
    volume_keeping_threshold,
)
from calvaria.families.skull_space import EncodedPopulation, SkullSpace, boxes
from calvaria.geometry.overlap import dice_of_pairs
from calvaria.plugins.compute import Compute
from calvaria.plugins.family import Context, Draw, Drawn, Model, Population
from calvaria.training.device import prepare_device, seeded
from calvaria.training.folding import LAYOUT
from calvaria.training.losses import dice_and_cross_entropy
from calvaria.training.precision import autocast

CALIBRATION = 16  # number of drawn skulls that determine the decoding threshold
SHARPNESS = 6.0  # logits per unit of the field
LOCALITY_MM = 100.0  # length of the taper of local variance
NEAR_MM = 3.0  # distance from the surface at which an error counts a quarter of one at the surface


def new_network(settings: AutoencoderFamily, context: Context, **more: Any) -> Autoencoder:
    """Return an untrained network of the configured size."""
    with seeded(context.torch_generator("weights")):
        network = Autoencoder(
            shape=context.grid.shape,
            inputs=CHANNELS[settings.representation],
            patch=settings.patch,
            channels=settings.channels,
            blocks=settings.blocks,
            latent_channels=settings.latent_channels,
            **more,
        )
    if settings.recompute:
        recompute_activations(network)
    return network


def space_of(model: Model, representation: str, context: Context) -> SkullSpace:
    """Return the space in which a fitted network works."""
    return SkullSpace(representation, context.grid, model.tensors["boxes"])


def symmetric_mean(fields: torch.Tensor) -> torch.Tensor:
    """Return the mean (c, x, y, z) of fields (n, c, x, y, z) and their mirror images."""
    mean = fields.mean(0)
    return (mean + mean.flip(1)) / 2


def batches(
    fields: torch.Tensor, size: int, context: Context, device: torch.device
) -> Callable[..., torch.Tensor]:
    """Return a stateless function from keys, such as the step, to a batch of ``size``, half mirrored."""

    def batch(*keys: str | int) -> torch.Tensor:
        rng = context.generator(*keys)
        chosen = fields[rng.integers(len(fields), size=size)]
        mirrored = torch.from_numpy(rng.random(size) < 0.5)[:, None, None, None, None]
        return torch.where(mirrored, chosen.flip(2), chosen).to(device)

    return batch


def reconstruction_loss(output: torch.Tensor, field: torch.Tensor, representation: str) -> torch.Tensor:
    """Return the mean reconstruction loss of an output over skulls, both (n, c, x, y, z).

    The loss of distances is the mean absolute error in mm; that of occupancy is cross-entropy plus 1
    minus soft Dice. Cross-entropy and Dice of the distances' sign reward exaggerated distances and make an
    autoencoder worse than a linear one (benchmarks/families_design.md).
    """
    if representation != "occupancy":
        return distance_error(output, field).mean()
    return dice_and_cross_entropy(SHARPNESS * output, (field > 0).float(), smooth=0.0)


def distance_error(output: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Return the (n,) mean absolute error in mm of distances (n, c, x, y, z), less the further from bone."""
    with torch.no_grad():
        weight = TRUNCATION_MM / (1 + field.abs() * (TRUNCATION_MM / NEAR_MM)) ** 2
    return (weight * (output - field).abs()).flatten(1).mean(1)


def rebuilt(network: Autoencoder, fields: torch.Tensor, tile: int | None, compute: Compute) -> torch.Tensor:
    """Return float32 reconstructions of fields (n, c, x, y, z), one by one; ``tile`` is ``decode_tile``."""
    device = network.device
    with torch.inference_mode(), autocast(compute, device):
        decoded = [network.decode(network.encode(one[None].to(device))[0], tile) for one in fields]
    return torch.cat(decoded).float().cpu()


def validation_error(
    reconstruct: Callable[[torch.Tensor], torch.Tensor], skulls: EncodedPopulation
) -> Callable[[], float]:
    """Return a function for 1 minus the mean Dice of the validation skulls' reconstructions.

    Args:
        reconstruct: passes fields (n, c, x, y, z) through encoder and decoder.
    """
    own = boxes(skulls.masks, skulls.space.grid)

    def error() -> float:
        rebuilt = decode(skulls.space.restore(reconstruct(skulls.validation), own))
        return 1 - float(np.mean(dice_of_pairs(rebuilt, skulls.masks)))

    return error


def finish(
    network: Autoencoder,
    settings: AutoencoderFamily,
    skulls: EncodedPopulation,
    context: Context,
    record: dict[str, Any],
) -> Model:
    """Return the model of a trained autoencoder.

    Returns:
        ``network.*``; ``latents``: (2 n, c, i, j, k) float32 of the training skulls and their mirror
        images; ``validation_latents``: those of the validation skulls; ``bone_fraction``: () float32 of
        the fields of both; ``rebuilding_threshold``: () float32 with the greatest mean Dice of the
        validation skulls' reconstructions; ``threshold``: () float32 at which drawn skulls have the mean
        bone volume of the real ones; ``boxes``: (n, 2, 3) float64 of the training skulls.
    """
    compute, tile = context.compute, settings.decode_tile
    latents = _latents(network, skulls.fields, compute)
    gaussian = gaussian_of(settings, latents, context)
    rngs = [context.generator("calibrate", number) for number in range(CALIBRATION)]
    drawn = np.concatenate([draw_fields(network, gaussian, [rng], tile, compute) for rng in rngs])
    fraction = skulls.bone_fraction
    tensors = {
        "latents": latents,
        "validation_latents": _latents(network, skulls.validation, compute),
        "bone_fraction": np.array(fraction, np.float32),
        "rebuilding_threshold": rebuilding_threshold(
            rebuilt(network, skulls.validation, tile, compute), skulls
        ),
        "threshold": volume_threshold(drawn, fraction),
        "boxes": skulls.space.boxes,
    }
    return model_of(network, tensors, record)


def volume_threshold(drawn: np.ndarray, fraction: float) -> np.ndarray:
    """Return the () float32 threshold at which drawn fields (n, c, x, y, z) have a fraction of bone."""
    return np.array(volume_keeping_threshold(drawn, fraction), np.float32)


def rebuilding_threshold(rebuilt: torch.Tensor, skulls: EncodedPopulation) -> np.ndarray:
    """Return the () float32 threshold with the greatest mean Dice of the reconstructed validation skulls."""
    restored = skulls.space.restore(rebuilt, boxes(skulls.masks, skulls.space.grid))
    return np.array(overlap_threshold(restored, skulls.masks), np.float32)


def gaussian_of(
    settings: AutoencoderFamily, latents: np.ndarray, context: Context, local: float = 0.0
) -> LocalGaussian:
    """Return the Gaussian of an autoencoder's training latents (n, c, i, j, k), on the context's device.

    Args:
        local: share of the variance whose correlation fades with distance.
    """
    length = LOCALITY_MM / (settings.factor * context.grid.spacing_mm)
    device = prepare_device(context.compute)
    return LocalGaussian.of(torch.from_numpy(latents).to(device), local, length)


def draw_fields(
    network: Autoencoder,
    gaussian: LocalGaussian,
    rngs: Sequence[np.random.Generator],
    tile: int | None,
    compute: Compute,
) -> np.ndarray:
    """Draw a latent per generator and decode them to fields (n, f, x, y, z) float32."""
    latents = torch.stack([gaussian.mean + gaussian.deviation(rng) for rng in rngs])
    return decoded(network, latents, tile, compute)


def decoded(network: Autoencoder, latents: torch.Tensor, tile: int | None, compute: Compute) -> np.ndarray:
    """Decode latents (n, c, i, j, k) to fields (n, f, x, y, z), float32; ``tile`` is ``decode_tile``."""
    device = network.device
    with torch.inference_mode(), autocast(compute, device):
        batch = latents.to(device, memory_format=LAYOUT)
        return np.asarray(network.decode(batch, tile).float().cpu().numpy())


def _latents(network: Autoencoder, fields: torch.Tensor, compute: Compute) -> np.ndarray:
    """Return the (2 n, c, i, j, k) latents of fields (n, f, x, y, z) and their mirror images."""
    with torch.inference_mode(), autocast(compute, network.device):
        latents = [network.encode(one[None].to(network.device))[0] for one in (*fields, *fields.flip(2))]
    return torch.cat(latents).cpu().numpy()


def sample_gaussian(
    settings: AutoencoderFamily,
    model: Model,
    population: Population,
    draws: Sequence[Draw],
    context: Context,
) -> list[Drawn]:
    """Draw latents from the Gaussian of the training latents, and decode them."""
    device = prepare_device(context.compute)
    network = network_of(Autoencoder, model, device)
    space = space_of(model, settings.representation, context)
    gaussian = gaussian_of(settings, model.tensors["latents"], context)
    drawn = []
    for batch, count in full_batches(draws, context.batch_size):
        rngs = [context.draw_generator(draw) for draw in batch]
        fields = draw_fields(network, gaussian, rngs, settings.decode_tile, context.compute)
        for field, rng in zip(fields[:count], rngs, strict=False):
            drawn.append(Drawn(drawn_skull(field, space, model, rng), population.ids, {}))
            context.on_drawn()
    return drawn


def drawn_skull(field: np.ndarray, space: SkullSpace, model: Model, rng: np.random.Generator) -> np.ndarray:
    """Return the skull (x, y, z) uint8 of a drawn field (c, x, y, z), with a size of its own."""
    restored = space.restore(torch.from_numpy(field)[None], space.draw_box(rng)[None])
    return decode(restored, float(model.tensors["threshold"]))[0]


def sample_prior(
    generate: Callable[[torch.Tensor], torch.Tensor],
    latent_size: int,
    representation: str,
    model: Model,
    population: Population,
    draws: Sequence[Draw],
    context: Context,
) -> list[Drawn]:
    """Generate a skull from a standard normal vector per draw, with the model's decoding threshold.

    Args:
        generate: maps vectors (n, latent_size) float32 to fields (n, c, x, y, z) on the context's device.
    """
    device = prepare_device(context.compute)
    space = space_of(model, representation, context)
    drawn = []
    for batch, count in full_batches(draws, context.batch_size):
        rngs = [context.draw_generator(draw) for draw in batch]
        noise = [rng.standard_normal(latent_size, np.float32) for rng in rngs]
        with torch.inference_mode(), autocast(context.compute, device):
            fields = generate(torch.from_numpy(np.stack(noise)).to(device)).float().cpu().numpy()
        for field, rng in zip(fields[:count], rngs, strict=False):
            drawn.append(Drawn(drawn_skull(field, space, model, rng), population.ids, {}))
            context.on_drawn()
    return drawn


def reconstruct(
    settings: AutoencoderFamily,
    model: Model,
    masks: np.ndarray,
    context: Context,
    occupancies: np.ndarray | None,
) -> np.ndarray:
    """Return reconstructions (n, x, y, z) uint8 of skulls."""
    network = network_of(Autoencoder, model, prepare_device(context.compute))
    space = space_of(model, settings.representation, context)
    fields = rebuilt(network, space.encode(masks, occupancies), settings.decode_tile, context.compute)
    return rebuilt_skulls(fields, space, model, masks)


def rebuilt_skulls(fields: torch.Tensor, space: SkullSpace, model: Model, masks: np.ndarray) -> np.ndarray:
    """Return the skulls (n, x, y, z) uint8 of the reconstructed fields (n, c, x, y, z) of ``masks``."""
    restored = space.restore(fields, boxes(masks, space.grid))
    return decode(restored, float(model.tensors["rebuilding_threshold"]))
