"""A soft introspective VAE: the encoder learns to tell real skulls from decoded ones, the decoder to pass.

Both are judged by the evidence lower bound alone, so no further network is needed. The encoder raises the
bound of real skulls and lowers exp(bound) of those that it is shown by the decoder; the decoder raises both.

Source: Daniel and Tamar 2021, Soft-IntroVAE, equations 5 and 6, after Huang et al. 2018, IntroVAE. The
bound is taken per voxel, its reconstruction term being the error of the distances, and the divergence per
entry of the latent.
"""

from collections.abc import Sequence

import numpy as np
import torch

from calvaria.config import IntrovaeFamily
from calvaria.families import Draw, Drawn, Model, Task
from calvaria.families.autoencoding import (
    CALIBRATION,
    batches,
    distance_error,
    fields_of,
    symmetric_mean,
    volume_threshold,
)
from calvaria.families.networks.autoencoders import DenseAutoencoder
from calvaria.families.networks.models import full_batches, model_of, network_of, place_of
from calvaria.families.representation import CHANNELS, decode, dice, overlap_threshold
from calvaria.storage.cohorts import Population
from calvaria.training.device import autocast, fingerprint, prepare_device, seeded
from calvaria.training.loop import Part, Scalars, Training, Update, train

SCALE = 2.0  # of the bound in the exponential
FAKE_KL_WEIGHT = 1.0  # of the divergence in the bound of decoded skulls, as it is judged
FAKE_WEIGHT = 0.25
LEAKED = 1e-8  # weight of the decoder's own reconstructions of what it made, which only steadies it


def training(population: Population, task: Task) -> Training:
    """Encoder and decoder; for the first part of the steps both lower the loss of a plain VAE."""
    settings: IntrovaeFamily = task.settings
    device = prepare_device(task.config)
    size = settings.optimiser.batch_size
    fields = fields_of(population.masks, task)
    validation = fields_of(population.validation, task)
    with seeded(task.torch_generator("weights")):
        network = DenseAutoencoder(
            task.config.grid.shape,
            CHANNELS[settings.representation],
            settings.patch,
            settings.channels,
            settings.latent_size,
            min(settings.latent_size, len(population)),
        )
    network.shapes.start(symmetric_mean(fields), fields)
    network.to(device)
    batch = batches(fields, task, device)
    plays_from = settings.warm_up * settings.optimiser.steps

    def noise(step: int, name: str, part: Part) -> torch.Tensor:
        whole = torch.randn(size, settings.latent_size, generator=task.torch_generator(name, step))
        return part.of(whole).to(device)

    def real(step: int, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstruction error and divergence of real skulls."""
        field = part.of(batch("step", step))
        mu, logvar = network.encode(field)
        output = network.decode(mu + (0.5 * logvar).exp() * noise(step, "posterior", part))
        return distance_error(output, field).mean(), divergence(mu, logvar).mean()

    def lower_encoder(step: int, turn: int, part: Part) -> Scalars:
        error, kl = real(step, part)
        loss = error + settings.kl_weight * kl
        found = {"reconstruction": error, "kl": kl}
        if step >= plays_from:
            with torch.no_grad():
                fake = network.decode(noise(step, "prior", part))
            mu, logvar = network.encode(fake)
            again = network.decode(mu + (0.5 * logvar).exp() * noise(step, "fake posterior", part))
            bound = -distance_error(again, fake) - FAKE_KL_WEIGHT * divergence(mu, logvar)
            judged = (SCALE * bound).exp().mean()
            loss = loss + FAKE_WEIGHT * judged
            found["judged"] = judged
        return {"loss": loss, **found}

    def lower_decoder(step: int, turn: int, part: Part) -> Scalars:
        error, _ = real(step, part)
        loss, found = error, {}
        if step >= plays_from:
            fake = network.decode(noise(step, "prior", part))
            mu, logvar = network.encode(fake)
            again = network.decode(mu.detach())
            fake_kl = divergence(mu, logvar).mean()
            loss = loss + settings.kl_weight * fake_kl + LEAKED * distance_error(again, fake.detach()).mean()
            found["fake_kl"] = fake_kl
        return {"loss": loss, **found}

    return Training(
        networks={"autoencoder": network},
        updates=(
            Update("encoder", tuple(network.encoding), lower_encoder),
            Update("decoder", tuple(network.decoding), lower_decoder),
        ),
        averaged=network,
        fingerprint=fingerprint(fields, validation),
        validate=_validation_error(network, population, validation, task),
        validation="validation_error",
    )


def divergence(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """(n,) Kullback-Leibler divergence from the standard normal distribution, per entry of the latent."""
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1).mean(1)


def _rebuilt(network: DenseAutoencoder, fields: torch.Tensor, task: Task) -> np.ndarray:
    with torch.inference_mode(), autocast(task.config, network.device):
        made = [network.decode(network.encode(one[None].to(network.device))[0]) for one in fields]
    return torch.cat(made).float().cpu().numpy()


def _validation_error(network, population, fields, task):  # type: ignore[no-untyped-def]
    return lambda: 1 - float(np.mean(dice(decode(_rebuilt(network, fields, task)), population.validation)))


def fit(population: Population, task: Task) -> Model:
    """Trains encoder and decoder.

    Returns:
        ``network.*``; ``rebuilding_threshold`` and ``threshold``: as of ``autoencoding.finish``.
    """
    trained = training(population, task)
    position = train(trained, place_of(task), prepare_device(task.config))
    network: DenseAutoencoder = trained.averaged  # type: ignore[assignment]
    validation = fields_of(population.validation, task)
    made = _rebuilt(network, validation, task)
    rng = task.torch_generator("calibrate")
    noise = torch.randn(CALIBRATION, task.settings.latent_size, generator=rng).to(network.device)
    with torch.inference_mode(), autocast(task.config, network.device):
        drawn = torch.cat([network.decode(one[None]) for one in noise]).float().cpu().numpy()
    tensors = {
        "rebuilding_threshold": np.array(overlap_threshold(made, population.validation), np.float32),
        "threshold": np.array(volume_threshold(drawn, population), np.float32),
    }
    record = {"best_step": position.best_step, "validation_error": position.best}
    return model_of(network, tensors, record)


def reconstruct(model: Model, masks: np.ndarray, task: Task) -> np.ndarray:
    """Skulls (n, x, y, z) uint8 as the autoencoder gives them back."""
    network = network_of(DenseAutoencoder, model, prepare_device(task.config))
    made = _rebuilt(network, fields_of(masks, task), task)
    return decode(made, float(model.tensors["rebuilding_threshold"]))


def sample(model: Model, population: Population, draws: Sequence[Draw], task: Task) -> list[Drawn]:
    """Decodes one vector of the prior per draw."""
    settings: IntrovaeFamily = task.settings
    device = prepare_device(task.config)
    network = network_of(DenseAutoencoder, model, device)
    threshold = float(model.tensors["threshold"])
    drawn = []
    for batch, count in full_batches(draws, task.config.sample.batch_size):
        noise = [
            task.draw_generator(draw).standard_normal(settings.latent_size, np.float32) for draw in batch
        ]
        with torch.inference_mode(), autocast(task.config, device):
            fields = network.decode(torch.from_numpy(np.stack(noise)).to(device))
        skulls = decode(fields.float().cpu().numpy(), threshold)
        for skull in skulls[:count]:
            drawn.append(Drawn(skull, population.ids, {}))
            task.drawn()
    return drawn
