"""Latent diffusion: a diffusion model over the latents of an autoencoder family.

Sources: Ho et al. 2020, Denoising diffusion probabilistic models; Rombach et al. 2022, High-resolution
image synthesis with latent diffusion models; Salimans and Ho 2022 (v-prediction); Song et al. 2021 (DDIM).
"""

from collections.abc import Sequence

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch.nn import functional

from calvaria.config import LdmFamily
from calvaria.families import Draw, Drawn, Model, Population, Task, load_model, networks
from calvaria.families.vae import Decoder
from calvaria.learning import adam, moving_average, prepare_device, run_steps, seeded


def fit(population: Population, task: Task) -> Model:
    """Trains the denoiser on the normalised latents of the training skulls.

    Returns:
        ``network.*``: averaged weights; ``centre`` and ``scale``: (c, 1, 1, 1) of the latents.
    """
    settings: LdmFamily = task.settings
    device = prepare_device(task.config)
    latents = load_model(task.run.fit(settings.autoencoder)).tensors["latents"]
    centre = latents.mean(axis=(0, 2, 3, 4))[:, None, None, None]
    scale = latents.std(axis=(0, 2, 3, 4))[:, None, None, None]
    clean = torch.from_numpy((latents - centre) / scale).to(device)
    with seeded(task.torch_generator("weights")):
        network = networks.denoiser(settings, clean.shape[1]).to(device)
    scheduler = noise_scheduler(settings)
    average = moving_average(network, settings.ema_decay)
    optimiser, schedule = adam(network.parameters(), settings.optimiser)

    def step(number: int) -> dict[str, torch.Tensor]:
        rng = task.generator("step", number)
        size = settings.optimiser.batch_size
        batch = clean[rng.integers(len(clean), size=size)]
        times = torch.from_numpy(rng.integers(settings.timesteps, size=size)).to(device)
        noise = torch.randn(batch.shape, generator=task.torch_generator("noise", number)).to(device)
        noisy = scheduler.add_noise(batch, noise, times)
        velocity = settings.prediction == "v_prediction"
        target = scheduler.get_velocity(batch, noise, times) if velocity else noise
        loss = functional.mse_loss(denoise(network, noisy, times), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update_parameters(network)
        return {"loss": loss.detach()}

    run_steps(f"fit {task.family}", settings.optimiser.steps, step, task.steps_log)
    tensors = networks.weights(average.module, "network") | {"centre": centre, "scale": scale}
    return Model(tensors, {"parameters": sum(p.numel() for p in network.parameters())})


def noise_scheduler(settings: LdmFamily) -> DDIMScheduler:
    """The noise schedule: cosine, ending in pure noise, so that sampling starts where training ended."""
    return DDIMScheduler(
        num_train_timesteps=settings.timesteps,
        beta_schedule="squaredcos_cap_v2",
        prediction_type=settings.prediction,
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )


def denoise(network: torch.nn.Module, noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Runs the denoiser on latents of any size, padding them so that every level halves evenly."""
    levels = len(network.block_out_channels)  # type: ignore[arg-type]
    multiple = 2 ** (levels - 1)
    i, j, k = noisy.shape[2:]
    padding = [(-n) % multiple for n in (k, j, i)]
    padded = functional.pad(noisy, (0, padding[0], 0, padding[1], 0, padding[2]))
    result: torch.Tensor = network(padded, timesteps=times)
    return result[:, :, :i, :j, :k]


def sample(model: Model, population: Population, draws: Sequence[Draw], task: Task) -> list[Drawn]:
    """Denoises latents with DDIM, from one noise per draw, and decodes them."""
    settings: LdmFamily = task.settings
    vae = load_model(task.run.fit(settings.autoencoder))
    decoder = Decoder(vae, task.config.fit[settings.autoencoder], task)  # type: ignore[arg-type]
    latent_shape = vae.tensors["latents"].shape[1:]
    network = networks.denoiser(settings, latent_shape[0])
    networks.restore(network, model.tensors, "network", decoder.device)
    scheduler = noise_scheduler(settings)
    scheduler.set_timesteps(settings.sampling_steps)
    drawn = []
    for batch, count in networks.full_batches(draws, task.config.sample.batch_size):
        noise = [task.draw_generator(draw).standard_normal(latent_shape, np.float32) for draw in batch]
        latents = settings.temperature * torch.from_numpy(np.stack(noise)).to(decoder.device)
        with torch.inference_mode():
            for time in scheduler.timesteps:
                times = time.expand(len(batch)).to(decoder.device)
                output = denoise(network, latents, times)
                latents = scheduler.step(output, time, latents).prev_sample
        clean = latents.cpu().numpy() * model.tensors["scale"] + model.tensors["centre"]
        drawn += [Drawn(skull, population.ids, {}) for skull in decoder(clean)[:count]]
    return drawn
