"""A soft introspective VAE: the encoder learns to distinguish decoded skulls from real ones.

The criterion is the evidence lower bound, so no discriminator is needed. The encoder raises the bound of
real skulls and lowers exp(bound) of decoded ones; the decoder raises the bounds of both.

Source: Daniel and Tamar 2021, Soft-IntroVAE, equations 5 and 6, after Huang et al. 2018, IntroVAE. The
bound is per voxel, with the error of the distances as its reconstruction term, and the divergence per entry
of the latent.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from calvaria.families.autoencoding import (
    CALIBRATION,
    batches,
    distance_error,
    rebuilding_threshold,
    rebuilt_skulls,
    sample_prior,
    space_of,
    symmetric_mean,
    validation_error,
    volume_threshold,
)
from calvaria.families.introvae import IntrovaeFamily
from calvaria.families.networks.autoencoders import DenseAutoencoder
from calvaria.families.networks.models import model_of, network_of, train_family
from calvaria.families.skull_space import EncodedPopulation
from calvaria.plugins.compute import Compute
from calvaria.plugins.family import Context, Draw, Drawn, Model, Population
from calvaria.training.device import fingerprint, prepare_device, seeded
from calvaria.training.loop import MicroBatch, Scalars, Training, Update
from calvaria.training.precision import autocast

SCALE = 2.0  # factor of the bound in the exponential
FAKE_KL_WEIGHT = 1.0  # of the divergence in the encoder's bound of decoded skulls
FAKE_WEIGHT = 0.25
LEAKED = 1e-8  # weight, for stability, of the reconstruction error of decoded skulls in the decoder's loss


def training(settings: IntrovaeFamily, skulls: EncodedPopulation, context: Context) -> Training:
    """Return the training of encoder and decoder; during warm-up both minimise the loss of a plain VAE."""
    device = prepare_device(context.compute)
    size = settings.optimiser.batch_size
    fields = skulls.fields
    with seeded(context.torch_generator("weights")):
        network = DenseAutoencoder(
            context.grid.shape,
            skulls.space.channels,
            settings.patch,
            settings.channels,
            settings.latent_size,
            min(settings.latent_size, len(fields)),
        )
    network.shapes.start(symmetric_mean(fields), fields)
    network.to(device)
    batch = batches(fields, settings.optimiser.batch_size, context, device)
    plays_from = settings.warm_up * settings.optimiser.steps

    def noise(step: int, name: str, part: MicroBatch) -> torch.Tensor:
        whole = torch.randn(size, settings.latent_size, generator=context.torch_generator(name, step))
        return part.of(whole).to(device)

    def real(step: int, part: MicroBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the reconstruction error and the divergence of real skulls."""
        field = part.of(batch("step", step))
        mu, logvar = network.encode(field)
        output = network.decode(mu + (0.5 * logvar).exp() * noise(step, "posterior", part))
        return distance_error(output, field).mean(), divergence(mu, logvar).mean()

    def lower_encoder(step: int, turn: int, part: MicroBatch) -> Scalars:
        error, kl = real(step, part)
        loss = error + settings.kl_weight * kl
        scalars = {"reconstruction": error, "kl": kl}
        if step >= plays_from:
            with torch.no_grad():
                fake = network.decode(noise(step, "prior", part))
            mu, logvar = network.encode(fake)
            again = network.decode(mu + (0.5 * logvar).exp() * noise(step, "fake posterior", part))
            bound = -distance_error(again, fake) - FAKE_KL_WEIGHT * divergence(mu, logvar)
            judged = (SCALE * bound).exp().mean()
            loss = loss + FAKE_WEIGHT * judged
            scalars["judged"] = judged
        return {"loss": loss, **scalars}

    def lower_decoder(step: int, turn: int, part: MicroBatch) -> Scalars:
        error, _ = real(step, part)
        loss, scalars = error, {}
        if step >= plays_from:
            fake = network.decode(noise(step, "prior", part))
            mu, logvar = network.encode(fake)
            again = network.decode(mu.detach())
            fake_kl = divergence(mu, logvar).mean()
            loss = loss + settings.kl_weight * fake_kl + LEAKED * distance_error(again, fake.detach()).mean()
            scalars["fake_kl"] = fake_kl
        return {"loss": loss, **scalars}

    return Training(
        networks={"autoencoder": network},
        updates=(
            Update("encoder", tuple(network.encoding), lower_encoder),
            Update("decoder", tuple(network.decoding), lower_decoder),
        ),
        averaged=network,
        fingerprint=fingerprint(fields, skulls.validation),
        validate=validation_error(partial(_rebuilt, network, compute=context.compute), skulls),
        validation="validation_error",
    )


def divergence(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """Return the (n,) KL divergence from the standard normal distribution, per entry of the latent."""
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1).mean(1)


def _rebuilt(network: DenseAutoencoder, fields: torch.Tensor, compute: Compute) -> torch.Tensor:
    with torch.inference_mode(), autocast(compute, network.device):
        rebuilt = [network.decode(network.encode(one[None].to(network.device))[0]) for one in fields]
    return torch.cat(rebuilt).float().cpu()


def fit(settings: IntrovaeFamily, population: Population, context: Context) -> Model:
    """Train encoder and decoder.

    Returns:
        ``network.*``, ``rebuilding_threshold``, ``threshold`` and ``boxes``: see ``autoencoding.finish``.
    """
    skulls = EncodedPopulation.of(population, settings.representation, context.grid)
    trained = training(settings, skulls, context)
    position = train_family(trained, settings.optimiser, context)
    network: DenseAutoencoder = trained.averaged  # type: ignore[assignment]
    rebuilt = _rebuilt(network, skulls.validation, context.compute)
    rng = context.torch_generator("calibrate")
    noise = torch.randn(CALIBRATION, settings.latent_size, generator=rng).to(network.device)
    with torch.inference_mode(), autocast(context.compute, network.device):
        drawn = torch.cat([network.decode(one[None]) for one in noise]).float().cpu().numpy()
    tensors = {
        "rebuilding_threshold": rebuilding_threshold(rebuilt, skulls),
        "threshold": volume_threshold(drawn, skulls.bone_fraction),
        "boxes": skulls.space.boxes,
    }
    record = {"best_step": position.best_step, "validation_error": position.best}
    return model_of(network, tensors, record)


def reconstruct(
    settings: IntrovaeFamily,
    model: Model,
    masks: np.ndarray,
    context: Context,
    occupancies: np.ndarray | None,
) -> np.ndarray:
    """Return reconstructions (n, x, y, z) uint8 of skulls."""
    network = network_of(DenseAutoencoder, model, prepare_device(context.compute))
    space = space_of(model, settings.representation, context)
    fields = _rebuilt(network, space.encode(masks, occupancies), context.compute)
    return rebuilt_skulls(fields, space, model, masks)


def sample(
    settings: IntrovaeFamily, model: Model, population: Population, draws: Sequence[Draw], context: Context
) -> list[Drawn]:
    """Decode one vector from the prior per draw."""
    network = network_of(DenseAutoencoder, model, prepare_device(context.compute))
    size, representation = settings.latent_size, settings.representation
    return sample_prior(network.decode, size, representation, model, population, draws, context)
