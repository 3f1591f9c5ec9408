"""A 3-D KL autoencoder; samples come from a Gaussian that is fitted to the latents of the training skulls.

Source: Kingma and Welling 2013, Auto-encoding variational Bayes.
"""

from functools import partial

import torch

from calvaria.families.autoencoding import (
    batches,
    finish,
    new_network,
    rebuilt,
    reconstruction_loss,
    symmetric_mean,
    validation_error,
)
from calvaria.families.networks.models import train_family
from calvaria.families.skull_space import EncodedPopulation
from calvaria.families.vae import VaeFamily
from calvaria.plugins.family import Context, Model, Population
from calvaria.training.device import fingerprint, prepare_device
from calvaria.training.loop import MicroBatch, Scalars, Training, Update, trainable


def training(settings: VaeFamily, skulls: EncodedPopulation, context: Context) -> Training:
    """Return the training of the autoencoder: reconstruction loss plus KL divergence of its latents."""
    device = prepare_device(context.compute)
    fields = skulls.fields
    network = new_network(settings, context)
    network.start(symmetric_mean(fields), fields)
    network.to(device)
    batch = batches(fields, settings.optimiser.batch_size, context, device)

    def loss(step: int, turn: int, part: MicroBatch) -> Scalars:
        field = part.of(batch("step", step))
        mu, sigma = network.encode(field)
        shape = (settings.optimiser.batch_size, *mu.shape[1:])
        noise = part.of(torch.randn(shape, generator=context.torch_generator("noise", step))).to(device)
        output = network.decode(mu + sigma * noise)
        reconstruction = reconstruction_loss(output, field, settings.representation)
        divergence = 0.5 * (mu**2 + sigma**2 - 2 * sigma.log() - 1).sum() / field.numel()
        total = reconstruction + settings.kl_weight * divergence
        return {"loss": total, "reconstruction": reconstruction, "kl": divergence}

    reconstruct = partial(rebuilt, network, tile=settings.decode_tile, compute=context.compute)
    return Training(
        networks={"autoencoder": network},
        updates=(Update("autoencoder", trainable(network), loss),),
        averaged=network,
        fingerprint=fingerprint(fields, skulls.validation),
        validate=validation_error(reconstruct, skulls),
        validation="validation_error",
    )


def fit(settings: VaeFamily, population: Population, context: Context) -> Model:
    """Train the autoencoder and return its model, see ``autoencoding.finish``."""
    skulls = EncodedPopulation.of(population, settings.representation, context.grid)
    trained = training(settings, skulls, context)
    position = train_family(trained, settings.optimiser, context)
    record = {"best_step": position.best_step, "validation_error": position.best}
    return finish(trained.averaged, settings, skulls, context, record)  # type: ignore[arg-type]
