"""What the convolutional autoencoder families share: data, loss, decoding threshold, and sampling.

Samples come from a Gaussian that is fitted to the latents of the training skulls: the prior of a spatial
latent says nothing of how its places belong together, the latents' own covariance does. Source: Ghosh et al.
2020, From variational to deterministic autoencoders (ex-post density estimation).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from calvaria import config
from calvaria.families import Draw, Drawn, Model, Task
from calvaria.families.networks.autoencoders import Autoencoder
from calvaria.families.networks.models import full_batches, model_of, network_of, recompute_activations
from calvaria.families.representation import (
    CHANNELS,
    TRUNCATION_VOXELS,
    decode,
    dice,
    encode,
    overlap_threshold,
    volume_keeping_threshold,
)
from calvaria.storage.cohorts import Population
from calvaria.training.device import autocast, prepare_device, seeded
from calvaria.training.folding import LAYOUT

CALIBRATION = 16  # drawn skulls by which the decoding threshold is set
SHARPNESS = 6.0  # logits per unit of the field: how sharply its sign says bone or not


def new_network(settings: config.Autoencoder, task: Task, **more: Any) -> Autoencoder:
    """An untrained network of the config's size."""
    with seeded(task.torch_generator("weights")):
        network = Autoencoder(
            shape=task.config.grid.shape,
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


def fields_of(masks: np.ndarray, task: Task) -> torch.Tensor:
    """What the family's network sees of skulls (n, x, y, z), (n, c, x, y, z)."""
    return torch.from_numpy(encode(masks, task.settings.representation, task.config.grid.voxels()))


def symmetric_mean(fields: torch.Tensor) -> torch.Tensor:
    """The mean (c, x, y, z) of fields (n, c, x, y, z) and of their mirror images."""
    mean = fields.mean(0)
    return (mean + mean.flip(1)) / 2


def batches(fields: torch.Tensor, task: Task, device: torch.device) -> Callable[..., torch.Tensor]:
    """A function from the number of a step to its batch, half of it mirrored; it keeps no state."""
    size = task.settings.optimiser.batch_size

    def batch(*keys: str | int) -> torch.Tensor:
        rng = task.generator(*keys)
        chosen = fields[rng.integers(len(fields), size=size)]
        mirrored = torch.from_numpy(rng.random(size) < 0.5)[:, None, None, None, None]
        return torch.where(mirrored, chosen.flip(2), chosen).to(device)

    return batch


def reconstruction_loss(output: torch.Tensor, field: torch.Tensor, representation: str) -> torch.Tensor:
    """The mean over skulls of how wrong an output is, both (n, c, x, y, z).

    Of distances their mean absolute error, in voxels; of occupancy cross-entropy plus 1 minus soft Dice.
    Cross-entropy and Dice of the distances' sign make an autoencoder worse than one that is linear: they
    reward exaggerated distances (docs/families.md).
    """
    if representation != "occupancy":
        return distance_error(output, field).mean()
    bone = (field > 0).float()
    logits = SHARPNESS * output
    probability = torch.sigmoid(logits)
    shared = (probability * bone).flatten(1).sum(1)
    dice_of = 2 * shared / (probability.flatten(1).sum(1) + bone.flatten(1).sum(1))
    entropy = functional.binary_cross_entropy_with_logits(logits, bone)
    return entropy + 1 - dice_of.mean()


def distance_error(output: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """(n,) mean absolute error in voxels of truncated distances (n, c, x, y, z)."""
    return TRUNCATION_VOXELS * (output - field).abs().flatten(1).mean(1)


def rebuilt(network: Autoencoder, fields: torch.Tensor, task: Task, device: torch.device) -> np.ndarray:
    """Fields, each through encoder and decoder, (n, c, x, y, z) float32."""
    tile = task.settings.decode_tile
    with torch.inference_mode(), autocast(task.config, device):
        made = [network.decode(network.encode(one[None].to(device))[0], tile) for one in fields]
    return torch.cat(made).float().cpu().numpy()


def validation_error(
    network: Autoencoder, population: Population, fields: torch.Tensor, task: Task
) -> Callable[[], float]:
    """A function that gives 1 minus the mean Dice of the validation skulls' reconstructions."""

    def error() -> float:
        masks = decode(rebuilt(network, fields, task, network.device))
        return 1 - float(np.mean(dice(masks, population.validation)))

    return error


def finish(network: Autoencoder, population: Population, task: Task, record: dict[str, Any]) -> Model:
    """What a trained autoencoder leaves.

    Returns:
        ``network.*``; ``latents``: (2 n, c, i, j, k) float32 of the training skulls and of their mirror
        images; ``validation_latents``: those of the validation skulls; ``rebuilding_threshold``: () float32,
        at which the reconstructions of the validation skulls overlap most with their originals;
        ``threshold``: () float32, at which drawn skulls have the real skulls' mean bone volume.
    """
    validation = fields_of(population.validation, task)
    made = rebuilt(network, validation, task, network.device)
    latents = _latents(network, population.masks, task)
    calibration = _drawn(latents, [task.generator("calibrate", number) for number in range(CALIBRATION)])
    decode_latents = partial(decoded, network, task=task, device=network.device)
    fields = np.concatenate([decode_latents(one[None]) for one in calibration])
    tensors = {
        "latents": latents,
        "validation_latents": _latents(network, population.validation, task),
        "rebuilding_threshold": np.array(overlap_threshold(made, population.validation), np.float32),
        "threshold": np.array(volume_threshold(fields, population), np.float32),
    }
    return model_of(network, tensors, record)


def volume_threshold(fields: np.ndarray, population: Population) -> float:
    """The threshold at which drawn fields (n, c, x, y, z) have the mean bone volume of the real skulls.

    Those of training and validation: the validation skulls alone are so few that their mean is off by
    several percent.
    """
    known = np.concatenate([population.masks, population.validation])
    return volume_keeping_threshold(fields, float((known > 0).mean()))


def _drawn(latents: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Latents from a Gaussian with the mean and covariance of ``latents``, (n, c, i, j, k), one per rng."""
    centre = latents.mean(0)
    spread = (latents - centre) / math.sqrt(len(latents) - 1)
    # A random combination of the centred latents has exactly their covariance.
    factors = [rng.standard_normal(len(latents), np.float32) for rng in rngs]
    return np.stack([centre + np.einsum("n,n...->...", factor, spread) for factor in factors])


def decoded(network: Autoencoder, latents: np.ndarray, task: Task, device: torch.device) -> np.ndarray:
    """Latents (n, c, i, j, k) float32 to fields (n, f, x, y, z) float32."""
    with torch.inference_mode(), autocast(task.config, device):
        batch = torch.from_numpy(latents).to(device, memory_format=LAYOUT)
        return np.asarray(network.decode(batch, task.settings.decode_tile).float().cpu().numpy())


def _latents(network: Autoencoder, masks: np.ndarray, task: Task) -> np.ndarray:
    fields = fields_of(masks, task)
    with torch.inference_mode(), autocast(task.config, network.device):
        found = [network.encode(one[None].to(network.device))[0] for one in (*fields, *fields.flip(2))]
    return torch.cat(found).cpu().numpy()


def sample_gaussian(model: Model, population: Population, draws: Sequence[Draw], task: Task) -> list[Drawn]:
    """Draws latents from a Gaussian with the training latents' mean and covariance, and decodes them."""
    device = prepare_device(task.config)
    network = network_of(Autoencoder, model, device)
    threshold = float(model.tensors["threshold"])
    drawn = []
    for batch, count in full_batches(draws, task.config.sample.batch_size):
        latents = _drawn(model.tensors["latents"], [task.draw_generator(draw) for draw in batch])
        skulls = decode(decoded(network, latents, task, device), threshold)
        for skull in skulls[:count]:
            drawn.append(Drawn(skull, population.ids, {}))
            task.drawn()
    return drawn


def reconstruct(model: Model, masks: np.ndarray, task: Task) -> np.ndarray:
    """Skulls (n, x, y, z) uint8 as the autoencoder gives them back."""
    device = prepare_device(task.config)
    network = network_of(Autoencoder, model, device)
    fields = fields_of(masks, task)
    return decode(rebuilt(network, fields, task, device), float(model.tensors["rebuilding_threshold"]))
