"""A volumetric Wasserstein GAN with gradient penalty.

Sources: Gulrajani et al. 2017, Improved training of Wasserstein GANs; Wu et al. 2016 (volumetric GANs).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from calvaria.families.autoencoding import (
    CALIBRATION,
    batches,
    sample_prior,
    symmetric_mean,
    volume_threshold,
)
from calvaria.families.networks.adversarial import SkullGenerator, new_critic
from calvaria.families.networks.models import model_of, network_of, train_family
from calvaria.families.skull_space import EncodedPopulation
from calvaria.families.wgan import WganFamily
from calvaria.plugins.family import Context, Draw, Drawn, Model, Population
from calvaria.training.device import fingerprint, prepare_device, seeded
from calvaria.training.folding import fold
from calvaria.training.loop import MicroBatch, Scalars, Training, Update, trainable
from calvaria.training.precision import autocast

POOLED = 4  # voxels per edge that are averaged for the validation figure
BETAS = (0.0, 0.9)  # as in Gulrajani et al.


def training(settings: WganFamily, skulls: EncodedPopulation, context: Context) -> Training:
    """Return the training; a step is several critic updates followed by one generator update."""
    device = prepare_device(context.compute)
    shape, size = context.grid.shape, settings.optimiser.batch_size
    inputs, fields, validation = skulls.space.channels, skulls.fields, skulls.validation
    mean = symmetric_mean(fields)
    # The mean norm of skulls' differences from their mean is the unit of the critic's slope; a slope of 1
    # per unit of voxel values would take thousands of steps to learn.
    unit = float((fields - mean).flatten(1).norm(dim=1).mean())
    with seeded(context.torch_generator("weights")):
        generator = SkullGenerator(
            shape,
            inputs,
            settings.patch,
            settings.channels,
            settings.latent_size,
            min(settings.latent_size, len(fields)),
        )
        critic = new_critic(shape, inputs, settings.patch, settings.channels)
    generator.shapes.start(mean, fields)
    generator.to(device)
    critic.to(device)
    batch = batches(fields, settings.optimiser.batch_size, context, device)

    def noise(*keys: str | int) -> torch.Tensor:
        return torch.randn(size, settings.latent_size, generator=context.torch_generator(*keys))

    def judge(step: int, turn: int, part: MicroBatch) -> Scalars:
        real = fold(part.of(batch("step", step, turn)) - generator.shapes.mean, settings.patch)
        with torch.no_grad():
            fake = generator.differences(part.of(noise("critic", step, turn)).to(device))
        mix = part.of(context.generator("mix", step, turn).random((size, 1, 1, 1, 1), np.float32))
        between = torch.from_numpy(mix).to(device)
        distance = critic(fake).float().mean() - critic(real).float().mean()
        penalty = gradient_penalty(critic, between * real + (1 - between) * fake, unit)
        loss = distance + settings.gradient_penalty * penalty
        return {"loss": loss, "wasserstein": -distance, "penalty": penalty}

    def make(step: int, turn: int, part: MicroBatch) -> Scalars:
        fake = generator.differences(part.of(noise("generator", step)).to(device))
        return {"loss": -critic(fake).float().mean()}

    pooled = functional.avg_pool3d(torch.cat([validation, validation.flip(2)]), POOLED).flatten(1)

    def distance_from_validation() -> float:
        made = functional.avg_pool3d(_judged(generator, settings, context).cpu(), POOLED).flatten(1)
        return energy_distance(made, pooled)

    return Training(
        networks={"generator": generator, "critic": critic},
        updates=(
            Update("critic", trainable(critic), judge, settings.critic_steps, BETAS, clip=None),
            Update("generator", trainable(generator), make, 1, BETAS, clip=None),
        ),
        averaged=generator,
        fingerprint=fingerprint(fields, validation),
        validate=distance_from_validation,
        validation="energy_distance",
    )


def fit(settings: WganFamily, population: Population, context: Context) -> Model:
    """Train generator and critic.

    Returns:
        ``network.*``: the generator, its weights averaged; ``threshold``: () float32 at which samples have
        the mean bone volume of real skulls; ``boxes``: those of the training skulls.
    """
    skulls = EncodedPopulation.of(population, settings.representation, context.grid)
    trained = training(settings, skulls, context)
    position = train_family(trained, settings.optimiser, context)
    device = prepare_device(context.compute)
    generator: SkullGenerator = trained.averaged  # type: ignore[assignment]
    with torch.inference_mode(), autocast(context.compute, device):
        made = _judged(generator, settings, context).cpu().numpy()
    tensors = {"threshold": volume_threshold(made, skulls.bone_fraction), "boxes": skulls.space.boxes}
    record = {"best_step": position.best_step, "energy_distance": position.best}
    return model_of(generator, tensors, record)


def _judged(generator: SkullGenerator, settings: WganFamily, context: Context) -> torch.Tensor:
    """Generate (n, c, x, y, z) fields from the same ``CALIBRATION`` noise vectors at every call."""
    rng = context.torch_generator("judged")
    noise = torch.randn(CALIBRATION, settings.latent_size, generator=rng).to(generator.device)
    return torch.cat([generator(one[None]) for one in noise])


def energy_distance(samples: torch.Tensor, others: torch.Tensor) -> float:
    """Return the energy distance of two sets of vectors, (n, d) and (m, d); 0 for equal distributions.

    Source: Székely and Rizzo 2013, Energy statistics; the unbiased form, which can be slightly negative.
    """
    n, m = len(samples), len(others)
    across = torch.cdist(samples, others).mean()
    within = torch.cdist(samples, samples).sum() / max(n * (n - 1), 1)
    among = torch.cdist(others, others).sum() / max(m * (m - 1), 1)
    return float(2 * across - within - among)


def gradient_penalty(critic: torch.nn.Module, points: torch.Tensor, unit: float) -> torch.Tensor:
    """Return the mean squared deviation from 1 of the critic's slope, per ``unit``, at ``points``.

    Args:
        points: (n, c, x, y, z) folded differences.
    """
    points = points.requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).float().sum(), points, create_graph=True)
    return ((unit * gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


def sample(
    settings: WganFamily, model: Model, population: Population, draws: Sequence[Draw], context: Context
) -> list[Drawn]:
    """Generate one skull from noise per draw."""
    network = network_of(SkullGenerator, model, prepare_device(context.compute))
    size, representation = settings.latent_size, settings.representation
    return sample_prior(network, size, representation, model, population, draws, context)
