"""Cost of a training, measured in a few of its steps at full size."""

import resource
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from calvaria.plugins.compute import Compute
from calvaria.training.loop import MicroBatch, Training
from calvaria.training.precision import autocast

STEPS = 3


@dataclass(frozen=True)
class Estimate:
    """Measured size, memory and speed of a training."""

    parameters: int
    peak_bytes: int  # GPU memory, or that of the process on a CPU
    seconds_per_step: float

    def text(self, steps: int) -> str:
        """Return a line for the terminal, with the time for ``steps`` steps."""
        hours, rest = divmod(round(self.seconds_per_step * steps), 3600)
        return (
            f"{self.parameters:,} parameters, peak memory {self.peak_bytes / 2**30:.2f} GiB, "
            f"{self.seconds_per_step:.3g} s a step, {steps:,} steps in {hours} h {rest // 60:02d} min "
            f"{rest % 60:02d} s"
        )


def estimate(training: Training, config: Compute, accumulate: int, device: torch.device) -> Estimate:
    """Run and measure a few steps; the weights of the networks are unusable afterwards."""
    optimisers = [torch.optim.Adam(update.parameters, lr=1e-9) for update in training.updates]
    took = []
    for step in range(STEPS):
        began = time.perf_counter()
        for update, optimiser in zip(training.updates, optimisers, strict=True):
            for turn in range(update.turns):
                optimiser.zero_grad()
                for piece in range(accumulate):
                    with autocast(config, device):
                        loss = update.loss(step, turn, MicroBatch(piece, accumulate))["loss"]
                    loss.backward(inputs=list(update.parameters))
                optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took.append(time.perf_counter() - began)
    return Estimate(training.parameters, _peak(device), min(took[1:]))


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.is_file():  # Linux, where getrusage may return the parent's peak
        line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
