"""Cost of data loading: training from the stores compared with training from memory.

    python benchmarks/training.py --run results/skullfix --arm geometric

All variants run the training step of the reconstruction network. Some load their batches as in every
training: from the run's stores, with new defects if configured, prefetched by ``loaders`` threads. One uses
the same batches as tensors in memory. Variants take turns, so that the load of the machine affects all of
them.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from environment import header

from calvaria.config import load
from calvaria.reconstruction.coarse.training import Batch, Member, training
from calvaria.storage.paths import Run
from calvaria.training.device import prepare_device
from calvaria.training.loop import MicroBatch
from calvaria.training.precision import autocast
from calvaria.training.prefetch import Prefetcher

WARM_UP = 3  # steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--arm", required=True)
    parser.add_argument("--steps", type=int, default=30, help="of every turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--loaders", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = parser.parse_args()
    run = Run(given.run)
    config = load(run.config)
    device = prepare_device(config)
    steps = WARM_UP + given.steps * given.turns
    member = Member(run, config, given.arm, 0)
    kept = [member.batch(number) for number in range(steps)]
    kept = [(labels.to(device), changes) for labels, changes in kept]
    found: dict[str, list[float]] = {}
    takers = {"memory": stepper(member, device, lambda number: kept[number])}
    for loaders in given.loaders:
        loading = config.model_copy(update={"loaders": loaders})
        takers[f"stores, {loaders} loaders"] = stepper(
            member, device, Prefetcher(member.batch, steps, loading)
        )
    for turn in range(given.turns):
        for name, step in takers.items():
            first = WARM_UP + turn * given.steps
            if turn == 0:
                for number in range(first):
                    step(number)
            began = time.perf_counter()
            for number in range(first, first + given.steps):
                step(number)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            found.setdefault(name, []).append(given.steps / (time.perf_counter() - began))
            print(f"{name}: {found[name][-1]:.2f} steps/s", flush=True)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    lines = [
        header("Training: what loading costs", "python " + " ".join(sys.argv)),
        "",
        f"Arm `{given.arm}` of the run `{config.name}`, grid {config.grid.shape}, batches of "
        f"{config.train.optimiser.batch_size}, fresh defects {config.train.fresh_defects}, on the {where}, "
        f"{config.threads} thread; {given.turns} turns of {given.steps} steps each.",
        "",
        "| batches from | steps/s, median | least | most | of memory's, median of the turns |",
        "|---|---|---|---|---|",
    ]
    for name, rates in found.items():
        share = median(rate / best for rate, best in zip(rates, found["memory"], strict=True))
        lines.append(f"| {name} | {median(rates):.3g} | {min(rates):.3g} | {max(rates):.3g} | {share:.3f} |")
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines[-len(found) :]))


def stepper(member: Member, device: torch.device, batch: Callable[[int], Batch]) -> Callable[[int], None]:
    """Return the training step of a member's network with a source of batches."""
    (update,) = training(member, device, batch).updates
    optimiser = torch.optim.Adam(update.parameters, lr=1e-4)

    def step(number: int) -> None:
        optimiser.zero_grad()
        with autocast(member.config, device):
            loss = update.loss(number, 0, MicroBatch())["loss"]
        loss.backward()
        optimiser.step()
        float(loss.detach())  # as in the training loop, which reads every loss

    return step


if __name__ == "__main__":
    main()
