"""Training steps per second of every network at a preset's size, in both precisions, and their profile.

    python benchmarks/throughput.py --config workflow/presets/skullfix.yaml

The skulls are ellipsoidal shells, since the cost of a step does not depend on the skulls. Every network
runs in calvaria's training loop on one core; the precisions take turns. bfloat16 is measured where the
processor multiplies it natively, according to the probe of `calvaria doctor`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import torch
from environment import header
from torch.profiler import ProfilerActivity, profile

from calvaria.config import Config, Optimiser, load
from calvaria.families.network_family import NetworkFamily
from calvaria.geometry.grid import BONE, IMPLANT, Grid
from calvaria.plugins.compute import ComputeSettings, Precision
from calvaria.plugins.family import Base, Context, Model, Population, Workspace
from calvaria.reconstruction.coarse.network import network_input, network_target, new_network
from calvaria.reconstruction.coarse.training import supervised_loss
from calvaria.training.loop import MicroBatch, Scalars, Training, TrainingJob, Update, train, trainable
from calvaria.training.precision import measure

SIZES = (0.9, 0.95, 1.0, 1.05)
WARM_UP = 2  # steps
# An operation belongs to the first group with a word of its name, or else to "other".
GROUPS = {
    "convolution": ("conv",),
    "norm": ("norm", "var_mean"),
    "activation": ("relu", "silu", "sigmoid", "tanh", "softplus", "gelu", "softmax"),
    "matrix product": ("mm", "linear", "attention", "matmul"),
    "optimiser, average": ("foreach", "adam", "optimizer", "lerp"),
    "copies, folding": ("copy", "clone", "contiguous", "_to_", "fill", "zero", "cat", "pad", "permute"),
    "sums, products": ("add", "mul", "sub", "div", "sum", "mean", "abs", "exp", "log", "pow", "sqrt"),
}


@dataclass(frozen=True)
class Network:
    """A training, and the settings of its steps."""

    name: str
    start: Callable[[Precision, Path], tuple[Training, TrainingJob]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("workflow/presets/skullfix.yaml"))
    parser.add_argument("--steps", type=int, default=6, help="of every turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = parser.parse_args()
    config = load(given.config)
    speed = measure("cpu")
    native = speed.precision == "bfloat16"
    precisions: tuple[Precision, ...] = ("float32", "bfloat16") if native else ("float32",)
    rates, shares = {}, {}
    for network in networks(config):
        rates[network.name] = rates_of(network, precisions, given.steps, given.turns)
        shares[network.name] = {name: profiled(network, name) for name in precisions}
        print(network.name, rates[network.name], shares[network.name], flush=True)
    given.out.write_text("\n".join(page(config, speed, rates, shares)) + "\n", encoding="utf-8")


def networks(config: Config) -> Iterator[Network]:
    """Yield the reconstruction network and every family's network, at the sizes of a config."""
    grid = config.grid.voxels()
    masks = shells(grid)
    population = Population(tuple("abcd"), masks, masks[:2])
    yield Network("reconstruction", lambda *where: reconstruction(config, masks, *where))
    for name, family in config.fit.items():
        if isinstance(family, NetworkFamily):
            yield Network(name, family_start(config, name, family, population))


def family_start(
    config: Config, name: str, family: NetworkFamily, population: Population
) -> Callable[[Precision, Path], tuple[Training, TrainingJob]]:
    """Return a function that starts a family's training; fit the family that it depends on for one step."""

    def start(precision: Precision, folder: Path) -> tuple[Training, TrainingJob]:
        compute = ComputeSettings(device="cpu", precision=precision)
        base = None
        if below := family.depends_on:
            settings = one_step(config.fit[below])
            context = Context(config.grid.voxels(), below, config.seed, compute)
            model: Model = settings.fit(population, context)
            base = Base(below, config.fit[below], model)
        workspace = Workspace(folder)
        context = Context(config.grid.voxels(), name, config.seed, compute, base=base, workspace=workspace)
        return family.training(population, context), job(compute, family.optimiser, folder)

    return start


def one_step(family: NetworkFamily) -> NetworkFamily:
    """Return the settings of a family that trains for one step."""
    return family.model_copy(update={"optimiser": family.optimiser.model_copy(update={"steps": 1})})


def reconstruction(
    config: Config, masks: np.ndarray, precision: Precision, folder: Path
) -> tuple[Training, TrainingJob]:
    """Start the training of the reconstruction network, on the same cases in every step."""
    settings, compute = config.train, ComputeSettings(device="cpu", precision=precision)
    network = new_network(config, 0)
    if network.completion is not None:
        network.completion.start(torch.from_numpy(masks)[:, None])
    cases = masks * BONE
    cases[:, : masks.shape[1] // 3, :, masks.shape[3] // 2 :] *= IMPLANT
    batch = torch.from_numpy(cases[np.arange(settings.optimiser.batch_size) % len(cases)])

    def loss(step: int, turn: int, part: MicroBatch) -> Scalars:
        labels = part.of(batch)
        target = network_target(labels, settings.predicts)
        return {"loss": supervised_loss(network.level_logits(network_input(labels, settings.mirror)), target)}

    update = Update("network", trainable(network), loss)
    training = Training({"network": network}, (update,), network, "benchmark")
    return training, job(compute, settings.optimiser, folder)


def job(compute: ComputeSettings, settings: Optimiser, folder: Path) -> TrainingJob:
    """Return a job without intermediate checkpoints."""
    waiting = replace(compute, checkpoint_s=1e9)
    return TrainingJob(
        "benchmark", "", folder / "steps.jsonl", folder / "checkpoint.safetensors", waiting, settings
    )


def shells(grid: Grid) -> np.ndarray:
    """Return (n, x, y, z) uint8 ellipsoidal vaults."""
    x, y, z = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    r = np.sqrt((x / 65) ** 2 + (y / 85) ** 2 + (z / 65) ** 2)
    return np.stack([(r / size > 0.85) & (r / size < 1) & (z > -55) for size in SIZES]).astype(np.uint8)


def rates_of(
    network: Network, precisions: tuple[Precision, ...], steps: int, turns: int
) -> dict[Precision, float]:
    """Return steps per second by precision, the median over the steps of all turns."""
    seconds: dict[Precision, list[float]] = {name: [] for name in precisions}
    for _ in range(turns):
        for name in precisions:
            seconds[name] += timed_steps(network, name, WARM_UP + steps)[WARM_UP:]
    return {name: 1 / median(values) for name, values in seconds.items()}


def timed_steps(network: Network, precision: Precision, steps: int) -> list[float]:
    """Return the seconds of every step of a training that ends after ``steps``."""
    stamps = []

    def after(step: int) -> Scalars:
        stamps.append(time.perf_counter())
        return {}

    with tempfile.TemporaryDirectory() as folder:
        training, job = network.start(precision, Path(folder))
        settings = job.settings.model_copy(update={"steps": steps})
        train(
            replace(training, after=after, validate=None),
            replace(job, settings=settings),
            torch.device("cpu"),
        )
    return [later - earlier for earlier, later in pairwise(stamps)]


def profiled(network: Network, precision: Precision) -> dict[str, float]:
    """Return the share of each group of operations in the time of a few steps."""
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as recorded:
        timed_steps(network, precision, 3)
    totals = dict.fromkeys([*GROUPS, "other"], 0.0)
    for event in recorded.key_averages():
        key = event.key.lower()
        group = next((name for name, words in GROUPS.items() if any(word in key for word in words)), "other")
        totals[group] += event.self_cpu_time_total
    whole = sum(totals.values())
    return {name: value / whole for name, value in totals.items()}


def page(config: Config, speed, rates, shares) -> list[str]:
    """Return the lines of the page."""
    gain = f"The probe of `calvaria doctor`: bfloat16 is {speed.gain:.2f} times as fast as float32"
    lines = [
        header("Training steps a second", "python " + " ".join(sys.argv)),
        "",
        f"Networks of the config `{config.name}`, grid {config.grid.shape}, one core. {gain}, so "
        f"`precision: auto` uses {speed.precision} here.",
        "",
        "| network | batch | float32, steps/s | bfloat16, steps/s | ratio |",
        "|---|---|---|---|---|",
    ]
    for name, found in rates.items():
        batch = (config.train if name == "reconstruction" else config.fit[name]).optimiser.batch_size
        half = found.get("bfloat16")
        more = f"{half:.3g} | {half / found['float32']:.2f}" if half else "not native | "
        lines.append(f"| {name} | {batch} | {found['float32']:.3g} | {more} |")
    columns = [*GROUPS, "other"]
    lines += ["", "Shares of a step's time, %:", "", f"| network | precision | {' | '.join(columns)} |"]
    lines += ["|---" * (len(columns) + 2) + "|"]
    for name, by_precision in shares.items():
        for precision, parts in by_precision.items():
            cells = " | ".join(f"{100 * parts[column]:.0f}" for column in columns)
            lines.append(f"| {name} | {precision} | {cells} |")
    return lines


if __name__ == "__main__":
    main()
