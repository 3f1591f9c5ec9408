"""A volumetric Wasserstein GAN with gradient penalty.

Sources: Gulrajani et al. 2017, Improved training of Wasserstein GANs; Wu et al. 2016 (volumetric GANs).
"""

from collections.abc import Sequence

import numpy as np
import torch

from calvaria.config import WganFamily
from calvaria.families import Draw, Drawn, Model, Population, Task, networks
from calvaria.families.representation import decode, encode, volume_keeping_threshold
from calvaria.learning import adam, moving_average, prepare_device, run_steps, seeded

CALIBRATION_SKULLS = 16  # on so many samples the threshold is set


def fit(population: Population, task: Task) -> Model:
    """Trains generator and critic; a step is one generator update after several critic updates.

    Returns:
        ``network.*``: the generator, its weights averaged; ``mean``: (1, x, y, z) field that its output
        is added to; ``threshold``: () float32, at which samples have the training skulls' mean volume.
    """
    settings: WganFamily = task.settings
    device = prepare_device(task.config)
    shape = task.config.grid.shape
    fields = torch.from_numpy(encode(population.masks)).to(device)
    fields = torch.cat([fields, fields.flip(2)])
    bone = float((fields > 0).float().mean())
    mean = fields.mean(0)
    # The mean of thin shells is too thin; shifted, it is a closed skull of mean volume to start from.
    mean = mean - volume_keeping_threshold(mean[None].cpu().numpy(), bone)
    deviations = networks.fold(fields - mean, settings.patch)
    # The length by which skulls differ from their mean is the unit of the critic's slope; a slope of one
    # per voxel value would take thousands of steps to learn.
    unit = float(deviations.flatten(1).norm(dim=1).mean())
    with seeded(task.torch_generator("weights")):
        generator = networks.generator(settings, shape).to(device)
        critic = networks.critic(settings, shape).to(device)
    average = moving_average(generator, settings.ema_decay)
    betas = (0.0, 0.9)  # as Gulrajani et al.
    make, make_schedule = adam(generator.parameters(), settings.optimiser, betas)
    judge, judge_schedule = adam(critic.parameters(), settings.optimiser, betas)
    size = settings.optimiser.batch_size

    def noise(*keys: str | int) -> torch.Tensor:
        return torch.randn(size, settings.latent_size, generator=task.torch_generator(*keys)).to(device)

    def step(number: int) -> dict[str, torch.Tensor]:
        for turn in range(settings.critic_steps):
            rng = task.generator("step", number, turn)
            real = deviations[rng.integers(len(deviations), size=size)]
            with torch.no_grad():
                fake = generator(noise("critic", number, turn))
            mix = torch.from_numpy(rng.random((size, 1, 1, 1, 1), np.float32)).to(device)
            distance = critic(fake).mean() - critic(real).mean()
            penalty = gradient_penalty(critic, mix * real + (1 - mix) * fake, unit)
            judge.zero_grad()
            (distance + settings.gradient_penalty * penalty).backward()
            judge.step()
        loss = -critic(generator(noise("generator", number))).mean()
        make.zero_grad()
        loss.backward()
        make.step()
        average.update_parameters(generator)
        make_schedule.step()
        judge_schedule.step()
        return {"wasserstein": -distance.detach(), "penalty": penalty.detach()}

    run_steps(f"fit {task.family}", settings.optimiser.steps, step, task.steps_log)
    averaged = average.module.eval()
    with torch.inference_mode():
        many = range(-(-CALIBRATION_SKULLS // size))
        made = torch.cat(
            [networks.unfold(averaged(noise("calibrate", turn)), settings.patch) for turn in many]
        )
    threshold = volume_keeping_threshold((made + mean).cpu().numpy(), bone)
    tensors = networks.weights(averaged, "network") | {"mean": mean.cpu().numpy()}
    tensors["threshold"] = np.array(threshold, np.float32)
    return Model(tensors, {"parameters": sum(p.numel() for p in generator.parameters())})


def gradient_penalty(critic: torch.nn.Module, points: torch.Tensor, unit: float) -> torch.Tensor:
    """Mean squared deviation of the critic's slope, per ``unit``, from one at (n, c, x, y, z) points."""
    points = points.requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return ((unit * gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


def sample(model: Model, population: Population, draws: Sequence[Draw], task: Task) -> list[Drawn]:
    """Generates one skull from the noise of each draw."""
    settings: WganFamily = task.settings
    device = prepare_device(task.config)
    network = networks.generator(settings, task.config.grid.shape)
    networks.restore(network, model.tensors, "network", device)
    mean = torch.from_numpy(model.tensors["mean"]).to(device)
    threshold = float(model.tensors["threshold"])
    drawn = []
    for batch, count in networks.full_batches(draws, task.config.sample.batch_size):
        noise = [
            task.draw_generator(draw).standard_normal(settings.latent_size, np.float32) for draw in batch
        ]
        with torch.inference_mode():
            output = network(torch.from_numpy(np.stack(noise)).to(device))
            fields = networks.unfold(output, settings.patch) + mean
        skulls = decode(fields.cpu().numpy(), threshold)
        drawn += [Drawn(skull, population.ids, {}) for skull in skulls[:count]]
    return drawn
