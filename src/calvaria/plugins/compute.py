"""Settings of computations: device, threads, precision, processes."""

from dataclasses import dataclass
from typing import Literal, Protocol

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]


class Compute(Protocol):
    """Settings of the computation that affect results; a run's config has the same keys."""

    @property
    def device(self) -> Device:
        """Device of networks; auto uses a GPU if there is one."""

    @property
    def threads(self) -> int:
        """CPU threads."""

    @property
    def precision(self) -> Precision:
        """Precision of matrix products; auto uses bfloat16 where a timed probe shows it to be faster."""

    @property
    def processes(self) -> int:
        """Processes that share each training."""

    @property
    def loaders(self) -> int:
        """Threads per training that prefetch its batches."""

    @property
    def checkpoint_s(self) -> float:
        """Seconds between two checkpoints of a training."""

    @property
    def tensorboard(self) -> bool:
        """Whether trainings also write logs for TensorBoard."""


@dataclass(frozen=True)
class ComputeSettings:
    """Compute settings without a config, with the config's defaults."""

    device: Device = "auto"
    threads: int = 1
    precision: Precision = "auto"
    processes: int = 1
    loaders: int = 1
    checkpoint_s: float = 60.0
    tensorboard: bool = False
