"""Samples per second of a fitted ``ldm``, and of MONAI's LatentDiffusionInferer with 1,000 DDPM steps.

    python benchmarks/generation.py --run results/skullfix --family ldm_vae

Both draw from the same denoiser and decoder, in the same process with the same batches; MONAI takes all steps
that the network was trained with, ours the few of the config. All samples are audited unscreened against the
held-out real skulls: ours in several sets of the size of MONAI's one, whose range shows the random variation.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from environment import header

from calvaria.config import HELD_OUT, Config, load
from calvaria.families.autoencoding import drawn_skull
from calvaria.families.ldm import LdmFamily
from calvaria.families.ldm.training import Maker, predict
from calvaria.families.run_context import context_of
from calvaria.metrics.fidelity import fidelity
from calvaria.metrics.shape import all_features, scale_of
from calvaria.plugins.family import Context, Draw, Model
from calvaria.storage.cohorts import skulls, training_population
from calvaria.storage.models import load_model
from calvaria.storage.paths import Run

MEASURES = {
    "neighbour_accuracy": "1-NN accuracy",
    "coverage": "coverage",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--family", default="ldm")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--sets", type=int, default=4)
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10, 15])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    run = Run(given.run)
    config = load(run.config)
    settings, context = config.fit[given.family], context_of(run, config, given.family)
    assert isinstance(settings, LdmFamily)
    population = training_population(run)
    model = load_model(run.fit(given.family))
    grid = config.grid.voxels()
    training = population.masks
    learned = all_features(np.concatenate([training, training[:, ::-1]]), grid)
    scale = scale_of(learned)
    held_out = scale(all_features(np.concatenate([skulls(run, cohort)[1] for cohort in HELD_OUT]), grid))
    rows = []

    def audited(name: str, steps: int, seconds: float, drawn: np.ndarray) -> None:
        sets = np.split(scale(all_features(drawn, grid)), len(drawn) // given.count)
        found = [asdict(fidelity(one, held_out, config.audit.neighbours)) for one in sets]
        rows.append({"sampler": name, "steps": steps, "each": seconds / len(drawn), "found": found})
        print(json.dumps(rows[-1]), flush=True)

    draws = [Draw(index, 0) for index in range(given.count * given.sets)]
    for steps in given.steps:
        quick = settings.model_copy(update={"sampling_steps": steps})
        quick.sample(model, population, draws[: config.sample.batch_size], context)  # warm-up
        began = time.process_time()
        drawn = np.stack([one.skull for one in quick.sample(model, population, draws, context)])
        audited(settings.sampler, steps, time.process_time() - began, drawn)
    slow_drawn, seconds = monai_samples(settings, model, context, given.count)
    audited("LatentDiffusionInferer, DDPM", settings.timesteps, seconds, slow_drawn)
    write(given.out, rows, given, config)


def monai_samples(
    settings: LdmFamily, model: Model, context: Context, count: int
) -> tuple[np.ndarray, float]:
    """Return skulls drawn by MONAI's inferer, and its CPU seconds."""
    from monai.inferers import LatentDiffusionInferer
    from monai.networks.schedulers import DDPMScheduler

    make = Maker(settings, model, context)
    condition = torch.zeros(context.batch_size, len(settings.condition))

    class Denoiser(torch.nn.Module):
        """Calvaria's denoiser, including its linear part, with MONAI's signature."""

        def forward(self, x, timesteps, context=None):  # type: ignore[no-untyped-def]
            times = timesteps.expand(len(x))
            return predict(make.denoiser, settings, x, times, condition[: len(x)])

    class Decoder(torch.nn.Module):
        """Calvaria's decoder with MONAI's method name."""

        def decode_stage_2_outputs(self, latents):  # type: ignore[no-untyped-def]
            return torch.from_numpy(make.fields(latents))

    scheduler = DDPMScheduler(
        num_train_timesteps=settings.timesteps,
        schedule="cosine",
        prediction_type=settings.objective,
        clip_sample=False,
    )
    scheduler.set_timesteps(settings.timesteps)
    inferer = LatentDiffusionInferer(scheduler, scale_factor=1.0)
    torch.manual_seed(0)
    size, drawn = context.batch_size, []
    began = time.process_time()
    with torch.inference_mode():
        for first in range(0, count, size):
            noise = torch.randn(min(size, count - first), *make.decoder.latent_shape)
            fields = inferer.sample(
                input_noise=noise,
                autoencoder_model=Decoder(),
                diffusion_model=Denoiser(),
                scheduler=scheduler,
                verbose=False,
            )
            for number, field in enumerate(fields.numpy(), first):
                rng = context.generator("monai", number)
                drawn.append(drawn_skull(field, make.space, model, rng))
            print(f"MONAI: {first + size} of {count}, {time.process_time() - began:.0f} s", flush=True)
    return np.stack(drawn), time.process_time() - began


def write(out: Path, rows: list[dict], given: argparse.Namespace, config: Config) -> None:
    """Write the table, with command, machine and versions."""
    slow = rows[-1]["each"]
    lines = [
        header("Generation: samples a second of latent diffusion", "python " + " ".join(sys.argv)),
        "",
        f"Family `{given.family}` of the run `{config.name}`, grid {config.grid.shape}, batches of "
        f"{config.sample.batch_size}, {config.threads} thread, temperature "
        f"{config.fit[given.family].temperature}. " + " ".join(__doc__.split("\n\n")[2].split()),
        "",
        f"{given.count} skulls a set. Of several sets: mean (least to greatest).",
        "",
        "| sampler | steps | sets | s a sample | times as fast | " + " | ".join(MEASURES.values()) + " |",
        "|" + "---|" * (5 + len(MEASURES)),
    ]
    for row in rows:
        figures = [spread([one[key] for one in row["found"]]) for key in MEASURES]
        lines.append(
            f"| {row['sampler']} | {row['steps']} | {len(row['found'])} | {row['each']:.3g} "
            f"| {slow / row['each']:.1f} | {' | '.join(figures)} |"
        )
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def spread(values: list[float]) -> str:
    """Format the mean, and the range of several values."""
    mean = f"{np.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
