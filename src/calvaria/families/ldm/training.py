"""Latent diffusion: a diffusion model, or a flow, over the latents of an autoencoder family.

Sources: Ho et al. 2020, Denoising diffusion probabilistic models; Rombach et al. 2022, High-resolution
image synthesis with latent diffusion models; Salimans and Ho 2022 (v-prediction); Lipman et al. 2023, Flow
matching for generative modeling; Song et al. 2021 (DDIM); Lu et al. 2022 (DPM-Solver++); Ho and Salimans
2022 (classifier-free guidance).

The noise is not white: it has the covariance of the Gaussian from which the autoencoder's own samples come,
partly tapered, without which it would be mixtures of latents and nothing else. So an untrained denoiser draws
from that Gaussian, with any number of steps, and the network learns how latents differ from it. White noise
has most of its variance where latents have little, and what a network leaves of it are lumps.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch.nn import functional

from calvaria.families.autoencoder_family import AutoencoderFamily
from calvaria.families.autoencoding import (
    CALIBRATION,
    decoded,
    drawn_skull,
    gaussian_of,
    space_of,
    volume_threshold,
)
from calvaria.families.ldm import LdmFamily
from calvaria.families.local_gaussian import LocalGaussian
from calvaria.families.networks.autoencoders import Autoencoder
from calvaria.families.networks.denoiser import Denoiser
from calvaria.families.networks.models import (
    full_batches,
    model_of,
    network_of,
    recompute_activations,
    train_family,
)
from calvaria.geometry.grid import Grid
from calvaria.plugins.family import Base, Context, Draw, Drawn, Model, Population
from calvaria.skull.measures import measure
from calvaria.training.device import fingerprint, prepare_device, seeded
from calvaria.training.loop import MicroBatch, Scalars, Training, Update, trainable
from calvaria.training.precision import autocast

VALIDATION_TIMES = 8  # noise levels at which every validation latent is denoised


def training(settings: LdmFamily, population: Population, context: Context) -> Training:
    """Return the training of the denoiser, on the latents of training skulls and their mirror images."""
    device = prepare_device(context.compute)
    latents = Latents.of(settings, context)
    clean = latents.clean("latents")
    validation = latents.clean("validation_latents")
    measured = conditions(population.masks, settings, context.grid)
    condition_rows = _standardised(measured)
    validation_conditions = _standardised(conditions(population.validation, settings, context.grid), measured)
    with seeded(context.torch_generator("weights")):
        network = Denoiser(
            cast("tuple[int, int, int, int]", tuple(clean.shape[1:])),
            min(settings.modes, len(population)),
            settings.channels,
            settings.patch,
            len(settings.condition),
        )
    network.gaussian.start(clean)
    if settings.recompute:
        recompute_activations(network)
    network.to(device)
    size = settings.optimiser.batch_size

    def loss(step: int, turn: int, part: MicroBatch) -> Scalars:
        rng = context.generator("step", step)
        picked = rng.integers(len(clean), size=size)
        levels = torch.from_numpy(rng.random(size, np.float32))
        noise = latents.noise([context.generator("noise", step, i) for i in range(size)])
        condition = condition_rows[picked].clone()
        condition[torch.from_numpy(rng.random(size) < settings.unconditional)] = torch.nan
        batch = (clean[picked], levels, noise, condition)
        return {"loss": objective(network, settings, *(part.of(one).to(device) for one in batch))}

    def validation_loss() -> float:
        noise = latents.noise([context.generator("validation", i) for i in range(len(validation))])
        total = 0.0
        for number in range(VALIDATION_TIMES):
            level = torch.full((len(validation),), (number + 0.5) / VALIDATION_TIMES)
            noisy = (validation, level, noise.roll(number, 0), validation_conditions)
            for first in range(0, len(validation), size):
                some = [one[first : first + size].to(device) for one in noisy]
                total += float(objective(network, settings, *some)) * len(some[0])
        return total / (VALIDATION_TIMES * len(validation))

    return Training(
        networks={"denoiser": network},
        updates=(Update("denoiser", trainable(network), loss),),
        averaged=network,
        fingerprint=fingerprint(clean, validation, condition_rows),
        validate=validation_loss,
        validation="validation_loss",
    )


def objective(
    network: Denoiser,
    settings: LdmFamily,
    clean: torch.Tensor,
    levels: torch.Tensor,
    noise: torch.Tensor,
    condition: torch.Tensor,
) -> torch.Tensor:
    """Return the mean squared error of the network's prediction for noisy latents.

    Args:
        clean: (n, c, i, j, k) normalised latents.
        levels: (n,) noise levels, 0 to 1.
        noise: (n, c, i, j, k) of ``Latents.noise``.
        condition: (n, conditions) standardised measures, NaN where withheld.
    """
    if settings.objective == "flow":
        share = levels[:, None, None, None, None]
        noisy, target = share * noise + (1 - share) * clean, noise - clean
        times = levels * settings.timesteps
    else:
        scheduler = DDIMScheduler(**_schedule(settings))
        times = (levels * settings.timesteps).long().clamp(max=settings.timesteps - 1)
        noisy = scheduler.add_noise(clean, noise, times)
        velocity = settings.objective == "v_prediction"
        target = scheduler.get_velocity(clean, noise, times) if velocity else noise
    return functional.mse_loss(predict(network, settings, noisy, times, condition), target)


def predict(
    network: Denoiser,
    settings: LdmFamily,
    noisy: torch.Tensor,
    times: torch.Tensor,
    condition: torch.Tensor,
) -> torch.Tensor:
    """Predict the objective's target of noisy latents (n, c, i, j, k) at times (n,), 0 to ``timesteps``."""
    if settings.objective == "flow":
        sigma = times.float() / settings.timesteps
        alpha = 1 - sigma
    else:
        kept = DDIMScheduler(**_schedule(settings)).alphas_cumprod.to(noisy.device)[times.long()]
        alpha, sigma = kept.sqrt(), (1 - kept).sqrt()
    wide = (-1, 1, 1, 1, 1)
    total = alpha**2 + sigma**2
    clean = (alpha / total).view(wide) * noisy  # posterior mean for Gaussian latents
    noise = (sigma / total).view(wide) * noisy
    learned = network(noisy, times, condition)
    if settings.objective == "epsilon":
        return noise + learned
    if settings.objective == "flow":
        return noise - clean + learned
    return alpha.view(wide) * noise - sigma.view(wide) * clean + learned


def sampler(settings: LdmFamily) -> Any:
    """Return the scheduler for sampling."""
    if settings.sampler == "euler":
        return FlowMatchEulerDiscreteScheduler(num_train_timesteps=settings.timesteps)
    schedule = _schedule(settings)
    if settings.sampler == "ddim":
        return DDIMScheduler(**schedule, clip_sample=False, set_alpha_to_one=True)
    return DPMSolverMultistepScheduler(**schedule, algorithm_type="dpmsolver++")


def _schedule(settings: LdmFamily) -> dict[str, Any]:
    """Return a diffusion's schedule: cosine, ending in pure noise, from which sampling then starts."""
    return {
        "num_train_timesteps": settings.timesteps,
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": settings.objective,
        "timestep_spacing": "trailing",
    }


def fit(settings: LdmFamily, population: Population, context: Context) -> Model:
    """Train the denoiser.

    Returns:
        ``network.*``: averaged weights; ``conditions``: (n, k) measures of the training skulls, for the
        conditions of samples; ``threshold``: () float32 at which drawn skulls have the mean bone volume of
        real ones; ``boxes``: those of the training skulls.
    """
    trained = training(settings, population, context)
    position = train_family(trained, settings.optimiser, context)
    base = _base(context).model
    measured = conditions(population.masks, settings, context.grid)
    tensors = {"conditions": measured, "boxes": base.tensors["boxes"]}
    record = {"best_step": position.best_step, "validation_loss": position.best}
    model = model_of(cast(Denoiser, trained.averaged), tensors, record)
    make = Maker(settings, model, context)
    fields = [make([context.generator("calibrate", number)])[0] for number in range(CALIBRATION)]
    threshold = volume_threshold(np.concatenate(fields), float(base.tensors["bone_fraction"]))
    return replace(model, tensors=model.tensors | {"threshold": threshold})


def _base(context: Context) -> Base:
    """Return the fitted autoencoder.

    Raises:
        ValueError: if the context has none.
    """
    if context.base is None:
        raise ValueError(f"fit.{context.name}: expected a fitted autoencoder as the context's base, got none")
    return context.base


@dataclass(frozen=True)
class Latents:
    """The latents of a fitted autoencoder, normalised: their mean is subtracted, every channel is scaled."""

    base: Model
    gaussian: LocalGaussian
    scale: torch.Tensor  # (c, 1, 1, 1) standard deviation of a channel of the training latents

    @classmethod
    def of(cls, settings: LdmFamily, context: Context) -> "Latents":
        """Return the latents of the context's base."""
        base = _base(context)
        assert isinstance(base.family, AutoencoderFamily)
        gaussian = gaussian_of(base.family, base.model.tensors["latents"], context, settings.local)
        scale = gaussian.spread.square().sum(0).mean((1, 2, 3), keepdim=True).sqrt()
        return cls(base.model, gaussian, scale)

    def clean(self, name: str) -> torch.Tensor:
        """Return normalised latents (n, c, i, j, k), by their name in the autoencoder's model."""
        return (torch.from_numpy(self.base.tensors[name]).to(self.scale) - self.gaussian.mean) / self.scale

    def noise(self, rngs: Sequence[np.random.Generator]) -> torch.Tensor:
        """Draw noise (n, c, i, j, k), one volume per generator."""
        return torch.stack([self.gaussian.deviation(rng) / self.scale for rng in rngs])

    def restored(self, normalised: torch.Tensor) -> torch.Tensor:
        """Return the latents (n, c, i, j, k) that the autoencoder decodes."""
        return self.gaussian.mean + normalised * self.scale


def conditions(masks: np.ndarray, settings: LdmFamily, grid: Grid) -> np.ndarray:
    """Return the configured measures, (n, k) float32, of skulls (n, x, y, z)."""
    names = settings.condition
    rows = [[asdict(measure(mask, grid))[name] for name in names] for mask in masks] if names else []
    return np.array(rows, np.float32).reshape(len(masks), len(names))


def _standardised(values: np.ndarray, reference: np.ndarray | None = None) -> torch.Tensor:
    """Return (2 n, k) measures, repeated for mirror images and standardised by those of ``reference``."""
    reference = values if reference is None else reference
    spread = np.maximum(reference.std(0), 1e-6)
    return torch.from_numpy(np.tile((values - reference.mean(0)) / spread, (2, 1)).astype(np.float32))


def sample(
    settings: LdmFamily, model: Model, population: Population, draws: Sequence[Draw], context: Context
) -> list[Drawn]:
    """Denoise latents, from one noise volume and one condition per draw, and decode them."""
    make = Maker(settings, model, context)
    drawn = []
    for batch, count in full_batches(draws, context.batch_size):
        rngs = [context.draw_generator(draw) for draw in batch]
        fields, measures = make(rngs)
        for field, values, rng in zip(fields[:count], measures, rngs, strict=False):
            condition = dict(zip(settings.condition, np.round(values, 2).tolist(), strict=True))
            skull = drawn_skull(field, make.space, model, rng)
            drawn.append(Drawn(skull, population.ids, {"condition": condition} if condition else {}))
            context.on_drawn()
    return drawn


class Maker:
    """A fitted denoiser with its autoencoder."""

    def __init__(self, settings: LdmFamily, model: Model, context: Context) -> None:
        self.settings, self.model, self.compute = settings, model, context.compute
        base = _base(context)
        assert isinstance(base.family, AutoencoderFamily)
        self.tile = base.family.decode_tile
        self.latents = Latents.of(settings, context)
        self.space = space_of(model, base.family.representation, context)
        self.device = prepare_device(context.compute)
        self.decoder = network_of(Autoencoder, base.model, self.device)
        self.denoiser = network_of(Denoiser, model, self.device)

    def __call__(self, rngs: list[np.random.Generator]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return (n, f, x, y, z) fields and the (k,) measures that condition each of them."""
        conditions = self.model.tensors["conditions"]
        measures = [_condition(conditions, rng) for rng in rngs]
        condition = _standardised(np.stack(measures), conditions)[: len(rngs)].to(self.device)
        noise = self.latents.noise(rngs)
        with torch.inference_mode(), autocast(self.compute, self.device):
            denoised = denoise(self.denoiser, noise, condition, self.settings)
        latents = self.latents.restored(denoised.float())
        return decoded(self.decoder, latents, self.tile, self.compute), measures


def denoise(
    network: Denoiser,
    latents: torch.Tensor,
    condition: torch.Tensor,
    settings: LdmFamily,
) -> torch.Tensor:
    """Return normalised latents for noise (n, c, i, j, k), by the configured sampler and guidance."""
    scheduler = sampler(settings)
    scheduler.set_timesteps(settings.sampling_steps, device=latents.device)
    for time in scheduler.timesteps:
        times = time.expand(len(latents))
        output = predict(network, settings, latents, times, condition)
        if settings.condition and settings.guidance != 1:
            free = predict(network, settings, latents, times, torch.full_like(condition, torch.nan))
            output = free + settings.guidance * (output - free)
        latents = scheduler.step(output, time, latents).prev_sample
    return latents


def _condition(training: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw measures (k,) from a Gaussian with the mean and covariance of the training skulls', (n, k)."""
    if training.shape[1] == 0:
        return np.zeros(0, np.float32)
    spread = (training - training.mean(0)) / np.sqrt(len(training) - 1)
    return np.asarray(training.mean(0) + rng.standard_normal(len(training)) @ spread, np.float32)
