"""What every training shares: device, determinism, optimiser, and the loop with its log and progress."""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel

from calvaria.config import Config, Optimiser
from calvaria.errors import CalvariaError
from calvaria.progress import Progress

Step = Callable[[int], dict[str, torch.Tensor]]
WARM_UP = 0.05  # fraction of the steps with rising learning rate


class DivergedError(CalvariaError):
    """A loss is no longer finite."""


def prepare_device(config: Config) -> torch.device:
    """The device of this job, with threads and algorithms fixed so that results repeat."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS would not repeat
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True)
    cuda = torch.cuda.is_available()
    if config.device == "cuda" and not cuda:
        raise CalvariaError("device: cuda was asked for, but torch sees no GPU; use device: auto or cpu")
    return torch.device("cuda" if cuda and config.device != "cpu" else "cpu")


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Initial weights come from torch's global generator: seeds it here and puts it back afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(generator.initial_seed())
        yield


def adam(
    parameters: Iterable[torch.nn.Parameter], settings: Optimiser, betas: tuple[float, float] = (0.9, 0.99)
) -> tuple[torch.optim.Adam, torch.optim.lr_scheduler.LambdaLR]:
    """Adam with linear warm-up and cosine decay over the settings' steps."""
    optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate, betas=betas)
    warm = max(1, round(WARM_UP * settings.steps))

    def factor(step: int) -> float:
        return min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(1.0, step / settings.steps))))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def moving_average(network: torch.nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of the network's weights; ``update_parameters`` after every step.

    The decay rises to its value, as (1 + n) / (10 + n) after n steps: else a short training would leave
    the average full of the first, random weights.
    """

    def average(averaged: torch.Tensor, current: torch.Tensor, steps: torch.Tensor | int) -> torch.Tensor:
        number = int(steps)
        return averaged.lerp(current, 1 - min(decay, (1 + number) / (10 + number)))

    return AveragedModel(network, avg_fn=average)


def run_steps(title: str, steps: int, step: Step, log: Path) -> None:
    """Runs the steps, writes one JSON line for each to ``log`` and shows the progress.

    Args:
        step: takes the number of the step, trains, and returns named scalars, a loss among them.

    Raises:
        DivergedError: if a scalar is not finite.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    progress = Progress(title, steps, "steps")
    with log.open("w", encoding="utf-8") as lines:
        for number in range(steps):
            scalars = {name: float(value) for name, value in step(number).items()}
            for name, value in scalars.items():
                if not math.isfinite(value):
                    raise DivergedError(
                        f"{title}: {name} is {value} at step {number}; lower the learning rate"
                    )
            lines.write(json.dumps({"step": number + 1, **scalars}) + "\n")
            progress.advance(", ".join(f"{name} {value:.4f}" for name, value in scalars.items()))
