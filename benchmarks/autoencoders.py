"""Input representation of autoencoders: occupancy, distances or surfaces, at equal cost, on real skulls.

    python benchmarks/autoencoders.py --run results/skullfix --steps 150

Trains the same network on the run's training skulls for the same number of steps with each representation,
and reconstructs the test skulls. The rows "untrained" are the linear part alone.
"""

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from environment import header

from calvaria.config import load
from calvaria.families.vae import VaeFamily
from calvaria.metrics.rebuilding import compare
from calvaria.plugins.family import Context
from calvaria.storage.cohorts import skulls, training_population
from calvaria.storage.paths import Run

VARIANTS = {
    "surfaces, mean error": {"representation": "surfaces"},
    "distances, mean error": {"representation": "distance"},
    "occupancy, cross-entropy and Dice": {"representation": "occupancy"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=150)
    given = parser.parse_args()
    source = Run(given.run)
    config = load(source.config)
    population, test = training_population(source), skulls(source, "test")[1]
    grid = config.grid.voxels()
    lines = [
        header("What autoencoders see", "python " + " ".join(sys.argv)),
        "",
        f"{len(population)} training skulls, {len(test)} test skulls of other people, grid "
        f"{config.grid.shape} at {config.grid.spacing_mm} mm; patch 4, 64 channels, 16 latent channels, "
        f"batches of 4, {given.steps} steps.",
        "",
        "| | s | Dice | 95 % surface distance, voxels | mean surface distance, mm | thickness error, mm |",
        "|---|---|---|---|---|---|",
    ]
    for name, variant in VARIANTS.items():
        for steps, rate in ((1, 1e-12), (given.steps, 1.5e-3)):
            settings = VaeFamily.model_validate(
                {
                    "kind": "vae",
                    "latent_channels": 16,
                    **variant,
                    "optimiser": {
                        "steps": steps,
                        "learning_rate": rate,
                        "batch_size": 4,
                        "validate_every": 50,
                    },
                }
            )
            context = Context(grid, "vae", config.seed, config, config.sample.batch_size)
            began = time.perf_counter()
            model = settings.fit(population, context)
            seconds = time.perf_counter() - began
            made = settings.reconstruct(model, test, context)
            rows = [asdict(compare(one, expected, grid)) for one, expected in zip(made, test, strict=True)]
            means = [float(np.mean([row[key] for row in rows])) for key in rows[0]]
            label = name if steps > 1 else f"{name}, untrained"
            figures = " | ".join(f"{value:.3f}" for value in means)
            lines.append(f"| {label} | {seconds:.0f} | {figures} |")
            print(lines[-1], flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
