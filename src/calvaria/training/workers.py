"""Several processes that share the work of every training step, through accelerate.

Every process holds all weights and runs the same steps on its own part of each batch; the gradients are
averaged. Since random numbers are drawn per step for the whole batch, two processes give the results of one
up to the order of sums.
"""

import os
import subprocess
import sys
from collections.abc import Iterable

import torch

from calvaria.errors import CalvariaError
from calvaria.plugins.compute import Compute
from calvaria.utils.interruption import Interrupted

RANK = "RANK"  # set by torch's launcher in every process


def is_main() -> bool:
    """Return whether this process writes the results: it has rank 0 or is the only one."""
    return int(os.environ.get(RANK, "0")) == 0


def launched(config: Compute) -> bool:
    """Run this command in several processes if the config requires it; return False if it must run here.

    Raises:
        CalvariaError: if one of the processes failed; its own message gives the reason.
    """
    if config.processes == 1 or RANK in os.environ:
        return False
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={config.processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(config.threads)}
    # Without the dashes the launcher would parse --run as an abbreviation of its own option.
    command = [sys.executable, *launcher, "-m", "calvaria.cli", "--", *sys.argv[1:]]
    process = subprocess.Popen(command, env=environment)
    try:
        code = process.wait()
    except Interrupted:  # the launcher forwards the signal and waits for the checkpoint
        process.terminate()
        process.wait()
        raise
    if code:
        raise CalvariaError(f"one of {config.processes} processes failed with exit code {code}")
    return True


class Workers:
    """The processes of one training, from the point of view of one of them."""

    def __init__(self, config: Compute, device: torch.device) -> None:
        """Join the other processes, if there are any.

        Raises:
            CalvariaError: if the number of processes is not the configured one.
        """
        self.count, self.rank, self._accelerator = 1, 0, None
        if config.processes > 1:
            from accelerate import Accelerator

            self._accelerator = Accelerator(cpu=device.type == "cpu")
            self.count, self.rank = self._accelerator.num_processes, self._accelerator.process_index
            if self.count != config.processes:
                raise CalvariaError(
                    f"processes: expected {config.processes}, got {self.count}; "
                    f"run it through calvaria fit or calvaria train"
                )

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its mean over all processes."""
        if self._accelerator is None:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        mean = self._accelerator.reduce(flat, reduction="mean")
        for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Return the mean of each value over all processes."""
        if self._accelerator is None:
            return values
        mean = self._accelerator.reduce(
            torch.tensor(list(values.values()), device=self._accelerator.device), reduction="mean"
        )
        return dict(zip(values, mean.tolist(), strict=True))
