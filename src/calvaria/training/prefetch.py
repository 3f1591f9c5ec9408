"""Prefetching of batches by threads, so that the device does not wait for them."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

from calvaria.plugins.compute import Compute

Batch = TypeVar("Batch")

DEPTH = 2  # batches that each thread prefetches


class Prefetcher(Generic[Batch]):
    """Threads that prepare the next batches of a training while the device works on the current one.

    A batch must be a function of its step alone, so that the order of preparation does not affect it.
    """

    def __init__(self, make: Callable[[int], Batch], steps: int, config: Compute) -> None:
        """Prepare batches 0 to ``steps - 1`` with ``make``; on demand if ``config.loaders`` is 0."""
        self._make, self._steps, self._depth = make, steps, DEPTH * config.loaders
        self._last: dict[int, Batch] = {}  # without threads: the current batch, for all micro-batches
        self._pending: dict[int, Future[Batch]] = {}
        self._pool = (
            ThreadPoolExecutor(
                config.loaders, "loader", initializer=torch.set_num_threads, initargs=(config.threads,)
            )
            if config.loaders
            else None
        )

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step.

        Raises:
            Exception: whatever ``make`` raised for that step.
        """
        if self._pool is None:
            if step not in self._last:
                self._last = {step: self._make(step)}
            return self._last[step]
        for number in [number for number in self._pending if number < step]:
            self._pending.pop(number).cancel()
        for number in range(step, min(step + 1 + self._depth, self._steps)):
            if number not in self._pending:
                self._pending[number] = self._pool.submit(self._make, number)
        return self._pending[step].result()
