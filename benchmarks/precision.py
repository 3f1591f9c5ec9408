"""Validation figures of three kinds of networks after training in float32 and in bfloat16.

    python benchmarks/precision.py --run results/precision --steps 200

The run needs its cases and the autoencoder of its ldm family. Each network is trained from three seeds in
both precisions, for the same steps on the same batches. On processors that only emulate bfloat16, which is
many times slower than float32, the script simulates it: operands and results of every product, norm and
activation, and their gradients, are rounded to bfloat16 and accumulated in float32, as by matrix
instructions.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import torch
from environment import header
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from calvaria.config import Config, load
from calvaria.families.run_context import context_of
from calvaria.reconstruction.coarse.training import Member, training
from calvaria.storage.cohorts import training_population
from calvaria.storage.paths import Run
from calvaria.training.device import prepare_device
from calvaria.training.loop import TrainingJob, train
from calvaria.training.precision import measure

SEEDS = 3
ROUNDED = {
    functional.conv3d,
    functional.conv_transpose3d,
    functional.linear,
    functional.group_norm,
    functional.instance_norm,
    functional.silu,
    functional.leaky_relu,
    functional.scaled_dot_product_attention,
    torch.conv3d,
    torch.conv_transpose3d,
    torch.matmul,
    torch.bmm,
}


class Rounding(TorchFunctionMode):
    """Rounding of operands and results of products, norms and activations to bfloat16."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func not in ROUNDED:
            return func(*args, **(kwargs or {}))
        result = func(*map(rounded, args), **{name: rounded(value) for name, value in (kwargs or {}).items()})
        return rounded(result)


def rounded(value: Any) -> Any:
    """Return a float32 tensor rounded to bfloat16, and anything else unchanged."""
    if isinstance(value, torch.Tensor) and value.dtype is torch.float32:
        return value.bfloat16().float()
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--families", nargs="+", default=["vae", "ldm"])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = parser.parse_args()
    run = Run(given.run)
    config = load(run.config)
    native = measure("cpu").precision == "bfloat16"
    networks: dict[str, Callable[[Config, int, Path], float]] = {
        "reconstruction, validation DSC": lambda *place: reconstruction(run, given.steps, *place)
    }
    for name in given.families:
        networks[f"{name}, validation loss"] = family_training(run, name, given.steps)
    rows = {}
    for name, figure in networks.items():
        rows[name] = {
            precision: [in_precision(figure, config, seed, precision, native) for seed in range(SEEDS)]
            for precision in ("float32", "bfloat16")
        }
        print(name, rows[name], flush=True)
    given.out.write_text("\n".join(page(run, given.steps, native, rows)) + "\n", encoding="utf-8")


def in_precision(
    figure: Callable[[Config, int, Path], float], config: Config, seed: int, precision: str, native: bool
) -> float:
    """Return the validation figure of one training."""
    simulated = precision == "bfloat16" and not native
    rounding: AbstractContextManager[object] = Rounding() if simulated else nullcontext()
    of_torch = "float32" if simulated else precision
    with TemporaryDirectory() as folder, rounding:
        return figure(config.model_copy(update={"precision": of_torch, "device": "cpu"}), seed, Path(folder))


def reconstruction(run: Run, steps: int, config: Config, seed: int, folder: Path) -> float:
    """Train the network of the first arm; return the best DSC of the validation cases."""
    optimiser = config.train.optimiser.model_copy(update={"steps": steps})
    config = config.model_copy(update={"train": config.train.model_copy(update={"optimiser": optimiser})})
    member = Member(run, config, next(iter(config.train.arms)), seed)
    device = prepare_device(config)
    job = TrainingJob(f"reconstruction {seed}", "", folder / "log", folder / "checkpoint", config, optimiser)
    position = train(training(member, device), job, device)
    assert position.best is not None
    return 1 - position.best


def family_training(run: Run, name: str, steps: int) -> Callable[[Config, int, Path], float]:
    """Return a function that trains a family and returns its best validation figure."""

    def figure(config: Config, seed: int, folder: Path) -> float:
        family: Any = config.fit[name]
        optimiser = family.optimiser.model_copy(update={"steps": steps})
        config = config.model_copy(update={"seed": config.seed + seed})
        device = prepare_device(config)
        trained = family.training(training_population(run), context_of(run, config, name))
        job = TrainingJob(f"{name} {seed}", "", folder / "log", folder / "checkpoint", config, optimiser)
        position = train(trained, job, device)
        assert position.best is not None
        return position.best

    return figure


def page(run: Run, steps: int, native: bool, rows: dict[str, dict[str, list[float]]]) -> list[str]:
    """Return the lines of the page."""
    how = "multiplied natively" if native else "simulated by rounding, as this processor only emulates it"
    lines = [
        header("Accuracy in float32 and bfloat16", "python " + " ".join(sys.argv)),
        "",
        f"Run `{run.root.name}`, {len(run.ingest)} skulls, {steps} steps, seeds 0 to {SEEDS - 1}; "
        f"bfloat16 {how}.",
        "",
        "| network | float32 | mean | bfloat16 | mean |",
        "|---|---|---|---|---|",
    ]
    for name, found in rows.items():
        cells = [
            f"{', '.join(f'{value:.4f}' for value in found[key])} | {mean(found[key]):.4f}"
            for key in ("float32", "bfloat16")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
