"""A 3-D KL autoencoder; samples come from a Gaussian that is fitted to the latents of the training skulls.

The prior of a spatial latent says nothing of how its places belong together; a Gaussian with the
latents' own covariance does. Sources: Kingma and Welling 2013, Auto-encoding variational Bayes; Ghosh
et al. 2020, From variational to deterministic autoencoders (ex-post density estimation).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from calvaria.config import VaeFamily
from calvaria.families import Draw, Drawn, Model, Population, Task, networks
from calvaria.families.representation import decode, encode, volume_keeping_threshold
from calvaria.learning import adam, prepare_device, run_steps, seeded

SHARPNESS = 6.0  # logits per unit of the field: how sharply its sign says bone or not
GRADIENT_NORM = 1.0
CALIBRATION_SKULLS = 16  # on so many reconstructions the decoder's threshold is set


def fit(population: Population, task: Task) -> Model:
    """Trains the autoencoder and keeps the latents of the training skulls and of their mirror images.

    Returns:
        ``network.*``; ``mean``: (1, x, y, z) mean field; ``latents``: (2 n, c, i, j, k) float32;
        ``threshold``: () float32, at which the reconstructions have the bone volume of their originals.
    """
    settings: VaeFamily = task.settings
    device = prepare_device(task.config)
    fields = torch.from_numpy(encode(population.masks)).to(device)
    fields = torch.cat([fields, fields.flip(2)])
    mean = fields.mean(0)
    with seeded(task.torch_generator("weights")):
        network = networks.autoencoder(settings).to(device)
    optimiser, schedule = adam(network.parameters(), settings.optimiser)

    def step(number: int) -> dict[str, torch.Tensor]:
        rng = task.generator("step", number)
        batch = fields[rng.integers(len(fields), size=settings.optimiser.batch_size)]
        mu, sigma = network.encode(networks.fold(batch - mean, settings.patch))
        noise = torch.randn(mu.shape, generator=task.torch_generator("noise", number)).to(device)
        output = networks.unfold(network.decode(mu + sigma * noise), settings.patch) + mean
        reconstruction = reconstruction_loss(output, (batch > 0).float())
        divergence = 0.5 * (mu**2 + sigma**2 - 2 * sigma.log() - 1).sum() / batch.numel()
        optimiser.zero_grad()
        (reconstruction + settings.kl_weight * divergence).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
        optimiser.step()
        schedule.step()
        return {"reconstruction": reconstruction.detach(), "kl": divergence.detach()}

    run_steps(f"fit {task.family}", settings.optimiser.steps, step, task.steps_log)
    network.eval()
    with torch.inference_mode():
        latents = torch.cat(
            [network.encode(networks.fold(field[None] - mean, settings.patch))[0] for field in fields]
        )
        some = slice(0, CALIBRATION_SKULLS)
        output = [networks.unfold(network.decode(one[None]), settings.patch) + mean for one in latents[some]]
    rebuilt, bone = torch.cat(output).cpu().numpy(), float((fields[some] > 0).float().mean())
    tensors = networks.weights(network, "network")
    tensors |= {"mean": mean.cpu().numpy(), "latents": latents.cpu().numpy()}
    tensors["threshold"] = np.array(volume_keeping_threshold(rebuilt, bone), np.float32)
    return Model(tensors, {"parameters": sum(p.numel() for p in network.parameters())})


def reconstruction_loss(field: torch.Tensor, bone: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus soft Dice of the field's sign against the bone, both (n, 1, x, y, z)."""
    logits = SHARPNESS * field
    probability = torch.sigmoid(logits)
    dice = 2 * (probability * bone).sum() / (probability.sum() + bone.sum())
    return functional.binary_cross_entropy_with_logits(logits, bone) + 1 - dice


def sample(model: Model, population: Population, draws: Sequence[Draw], task: Task) -> list[Drawn]:
    """Draws latents from the fitted Gaussian and decodes them."""
    latents = model.tensors["latents"]
    centre = latents.mean(0)
    spread = (latents - centre) / math.sqrt(len(latents) - 1)
    decoder = Decoder(model, task.settings, task)
    drawn = []
    for batch, count in networks.full_batches(draws, task.config.sample.batch_size):
        # A random combination of the centred latents has exactly their covariance.
        factors = [task.draw_generator(draw).standard_normal(len(latents), np.float32) for draw in batch]
        noise = np.stack([centre + np.einsum("n,n...->...", factor, spread) for factor in factors])
        drawn += [Drawn(skull, population.ids, {}) for skull in decoder(noise)[:count]]
    return drawn


class Decoder:
    """The decoder of a fitted autoencoder family."""

    def __init__(self, model: Model, settings: VaeFamily, task: Task) -> None:
        self.device = prepare_device(task.config)
        self.patch = settings.patch
        self.threshold = float(model.tensors["threshold"])
        self.mean = torch.from_numpy(model.tensors["mean"]).to(self.device)
        self.network = networks.autoencoder(settings)
        networks.restore(self.network, model.tensors, "network", self.device)

    def __call__(self, latents: np.ndarray) -> np.ndarray:
        """(n, c, i, j, k) float32 latents to (n, x, y, z) uint8 skulls."""
        with torch.inference_mode():
            batch = torch.from_numpy(latents).to(self.device, memory_format=networks.LAYOUT)
            fields = networks.unfold(self.network.decode(batch), self.patch) + self.mean
        return decode(fields.cpu().numpy(), self.threshold)
