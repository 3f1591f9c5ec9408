"""Peak memory of an autoencoder at 256 cubed: one training step, and decoding, each in a separate process.

    python benchmarks/memory.py

In float32 on the CPU; the figures are those of the whole process including libraries, and ``imports`` is
the process before any computation.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from environment import header, peak_gb

EDGE = 256
TASKS = ("imports", "training step", "training step, recomputed", "decoding", "decoding in tiles of 32")
CARD_GB = 24


def measure(task: str) -> dict[str, float]:
    """Run one operation and print its peak memory."""
    import torch

    from calvaria.families.autoencoding import reconstruction_loss
    from calvaria.families.networks.autoencoders import Autoencoder
    from calvaria.families.networks.models import recompute_activations

    torch.set_num_threads(2)
    torch.manual_seed(0)
    network = Autoencoder((EDGE,) * 3, 2, patch=4, channels=(64,), blocks=1, latent_channels=16)
    began = time.perf_counter()
    if task.startswith("training"):
        if "recomputed" in task:
            recompute_activations(network)
        optimiser = torch.optim.Adam(network.parameters())
        field = torch.rand(1, 2, EDGE, EDGE, EDGE) * 2 - 1
        mu, sigma = network.encode(field)
        reconstruction_loss(network.decode(mu + sigma), field, "surfaces").backward()
        optimiser.step()
    elif task.startswith("decoding"):
        network.eval()
        with torch.inference_mode():
            network.decode(torch.randn(1, *network.latent_shape), 32 if "tiles" in task else None)
    return {"seconds": time.perf_counter() - began, "gb": peak_gb()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=TASKS)
    given = parser.parse_args()
    if given.task:
        print(json.dumps(measure(given.task)))
        return
    lines = [
        header(f"Memory of the autoencoder at {EDGE} cubed", "python benchmarks/memory.py"),
        "",
        f"Goal: within {CARD_GB} GB. Patch 4, 64 channels, 16 latent channels, batch of 1, float32 on the "
        "CPU; the peak of the whole process.",
        "",
        "| | peak, GB | seconds |",
        "|---|---|---|",
    ]
    for task in TASKS:
        done = subprocess.run(
            [sys.executable, __file__, "--task", task], capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout)
        lines.append(f"| {task} | {found['gb']:.2f} | {found['seconds']:.1f} |")
        print(lines[-1], flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
