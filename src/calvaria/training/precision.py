"""Precision of matrix products: bfloat16 where a timed probe measures that it is faster than float32.

Processors without bfloat16 instructions emulate it, many times slower than float32. Only a measurement
shows this reliably; processor names and the capabilities that libraries report do not. A run measures once
and stores its choice in ``precision.json``, so that all of its jobs agree.
"""

import logging
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache

import torch
from torch.nn import functional

from calvaria.config import Config
from calvaria.plugins.compute import Compute, Precision
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json
from calvaria.training.device import prepare_device

logger = logging.getLogger(__name__)

LEAST_GAIN = 1.2  # emulation gives less than 0.3, matrix instructions more than 1.5
ROUNDS = 5
CHANNELS, EDGE = 32, {"cpu": 12, "cuda": 64}  # of the probe's convolution; emulated, it takes 0.2 s


@dataclass(frozen=True)
class Speed:
    """Seconds per training step of one 3-D convolution in either precision."""

    float32_s: float
    bfloat16_s: float

    @property
    def gain(self) -> float:
        """Return the speed of bfloat16 relative to float32."""
        return self.float32_s / self.bfloat16_s

    @property
    def precision(self) -> Precision:
        """Return the precision to use."""
        return "bfloat16" if self.gain >= LEAST_GAIN else "float32"


@cache
def measure(device: str) -> Speed:
    """Time both precisions on ``cpu`` or ``cuda``, alternately; the fastest of several rounds counts.

    No random numbers are drawn. The first call may be in inference mode, which is disabled for the probe.
    """
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    with torch.inference_mode(False), torch.enable_grad():
        kernel = torch.ones(CHANNELS, CHANNELS, 3, 3, 3, device=device, requires_grad=True)
        volume = torch.ones(1, CHANNELS, *(EDGE[device],) * 3, device=device)
        for _ in range(1 + ROUNDS):  # the first round warms up
            for dtype in best:
                began = time.perf_counter()
                with torch.autocast(device, torch.bfloat16, enabled=dtype is torch.bfloat16):
                    functional.conv3d(volume, kernel, padding=1).sum().backward()
                if device == "cuda":
                    torch.cuda.synchronize()
                best[dtype] = min(best[dtype], time.perf_counter() - began)
    return Speed(best[torch.float32], best[torch.bfloat16])


def autocast(config: Compute, device: torch.device) -> AbstractContextManager[object]:
    """Return a context of bfloat16 matrix products and convolutions if the config's precision is bfloat16.

    With ``auto``, a timed probe in this process decides. The stages of a run replace ``auto`` by the run's
    choice, see `with_precision`.
    """
    precision = measure(device.type).precision if config.precision == "auto" else config.precision
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def choose(config: Config) -> dict[str, Precision]:
    """Return the precision by type of device, for those of this machine; a configured one for all types."""
    if config.precision != "auto":
        return {"cpu": config.precision, "cuda": config.precision}
    types = {"cpu", prepare_device(config).type}
    speeds = {device: measure(device) for device in sorted(types)}
    for device, speed in speeds.items():
        logger.info("precision: %s: bfloat16 %.2f times as fast as float32", device, speed.gain)
    return {device: speed.precision for device, speed in speeds.items()}


def with_precision(run: Run, config: Config) -> Config:
    """Return the config with ``precision: auto`` replaced by the run's choice.

    Raises:
        StoreError: if the run's precision file is missing or damaged.
    """
    if config.precision != "auto":
        return config
    device = prepare_device(config).type
    chosen = read_json(run.precision)
    if device not in chosen:
        logger.warning(
            "%s: has no choice for %s, since it was measured on a machine without; float32 is used",
            run.precision,
            device,
        )
    return config.model_copy(update={"precision": chosen.get(device, "float32")})
