"""Batches that are made ahead of time, so that the device never waits for one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

from calvaria.plugins.compute import Compute

Batch = TypeVar("Batch")

DEPTH = 2  # batches that each thread is ahead


class Ahead(Generic[Batch]):
    """The batches of a training, which threads make while the device works on an earlier one.

    A batch has to be a function of its step's number alone: who makes it, and when, then changes nothing.
    """

    def __init__(self, make: Callable[[int], Batch], steps: int, config: Compute) -> None:
        """Makes batches 0 to ``steps - 1`` with ``make``; with no ``loaders`` each when it is asked for."""
        self._make, self._steps, self._depth = make, steps, DEPTH * config.loaders
        self._last: dict[int, Batch] = {}  # with no loaders: the batch that other parts may ask for, too
        self._pending: dict[int, Future[Batch]] = {}
        self._pool = (
            ThreadPoolExecutor(
                config.loaders, "loader", initializer=torch.set_num_threads, initargs=(config.threads,)
            )
            if config.loaders
            else None
        )

    def __call__(self, step: int) -> Batch:
        """The batch of a step; an error in making it is raised here."""
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
