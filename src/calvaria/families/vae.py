"""A 3-D KL autoencoder; samples come from a Gaussian that is fitted to the latents of the training skulls.

Source: Kingma and Welling 2013, Auto-encoding variational Bayes.
"""

import torch

from calvaria.config import VaeFamily
from calvaria.families import Model, Task
from calvaria.families.autoencoding import (
    batches,
    fields_of,
    finish,
    new_network,
    reconstruct,
    reconstruction_loss,
    sample_gaussian,
    symmetric_mean,
    validation_error,
)
from calvaria.families.networks.models import place_of
from calvaria.storage.cohorts import Population
from calvaria.training.device import fingerprint, prepare_device
from calvaria.training.loop import Part, Scalars, Training, Update, train, trainable

__all__ = ["fit", "reconstruct", "sample", "training"]

sample = sample_gaussian


def training(population: Population, task: Task) -> Training:
    """Reconstruction, and how far the latents' distributions are from a standard normal one."""
    settings: VaeFamily = task.settings
    device = prepare_device(task.config)
    fields = fields_of(population.masks, task)
    validation = fields_of(population.validation, task)
    network = new_network(settings, task)
    network.start(symmetric_mean(fields), fields)
    network.to(device)
    batch = batches(fields, task, device)

    def loss(step: int, turn: int, part: Part) -> Scalars:
        field = part.of(batch("step", step))
        mu, sigma = network.encode(field)
        shape = (settings.optimiser.batch_size, *mu.shape[1:])
        noise = part.of(torch.randn(shape, generator=task.torch_generator("noise", step))).to(device)
        output = network.decode(mu + sigma * noise)
        reconstruction = reconstruction_loss(output, field, settings.representation)
        divergence = 0.5 * (mu**2 + sigma**2 - 2 * sigma.log() - 1).sum() / field.numel()
        total = reconstruction + settings.kl_weight * divergence
        return {"loss": total, "reconstruction": reconstruction, "kl": divergence}

    return Training(
        networks={"autoencoder": network},
        updates=(Update("autoencoder", trainable(network), loss),),
        averaged=network,
        fingerprint=fingerprint(fields, validation),
        validate=validation_error(network, population, validation, task),
        validation="validation_error",
    )


def fit(population: Population, task: Task) -> Model:
    """Trains the autoencoder; what it leaves: ``autoencoding.finish``."""
    trained = training(population, task)
    position = train(trained, place_of(task), prepare_device(task.config))
    record = {"best_step": position.best_step, "validation_error": position.best}
    return finish(trained.averaged, population, task, record)  # type: ignore[arg-type]
