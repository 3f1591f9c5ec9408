"""Prefetched batches equal those prepared on demand, and each is prepared once, before its request."""

import threading
import time
from collections.abc import Callable

import pytest
import torch

from calvaria.config import Config
from calvaria.training.prefetch import DEPTH, Prefetcher
from tests.unit.test_learning import parse_tiny

STEPS = 12
PATIENCE_S = 5.0  # how long a test waits for another thread before it fails
LOADERS = pytest.mark.parametrize("loaders", [0, 1, 3])


def with_loaders(loaders: int) -> Config:
    return parse_tiny().model_copy(update={"loaders": loaders})


class Made:
    """Maker of batches that records their numbers; every batch is a distinct object."""

    def __init__(self, before: Callable[[int], object] = lambda step: None) -> None:
        self.before = before
        self.steps: list[int] = []
        self.done = [threading.Event() for _ in range(STEPS + 9)]

    def __call__(self, step: int) -> torch.Tensor:
        self.steps.append(step)
        self.before(step)
        self.done[step].set()
        return torch.arange(3) + 10 * step

    def wait_for(self, step: int) -> None:
        assert self.done[step].wait(PATIENCE_S), f"nobody made batch {step}"


def made_in_all(make: Made, loaders: int, asked: list[int]) -> list[int]:
    """Return the batches that were prepared after these requests and the end of all threads."""
    before = set(threading.enumerate())
    ahead = Prefetcher(make, STEPS, with_loaders(loaders))
    for step in asked:
        ahead(step)
    del ahead
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    return sorted(make.steps)


@LOADERS
@pytest.mark.parametrize("slow", ["early", "late", "every third", "caller"])
def test_batches_are_those_of_their_steps_whoever_is_slow(loaders, slow):
    def pause(step: int) -> None:
        late = {"early": step < 4, "late": step > 6, "every third": step % 3 == 0, "caller": False}
        time.sleep(0.004 * late[slow])

    ahead = Prefetcher(Made(pause), STEPS, with_loaders(loaders))
    for step in range(STEPS):
        time.sleep(0.004 * (slow == "caller"))
        assert ahead(step).tolist() == [10 * step, 10 * step + 1, 10 * step + 2]


def test_batches_that_are_ready_in_the_wrong_order_come_in_the_right_one():
    """An even batch is not ready before the one after it."""
    make = Made()
    make.before = lambda step: step % 2 == 0 and make.wait_for(step + 1)
    ahead = Prefetcher(make, STEPS, with_loaders(3))
    assert [int(ahead(step)[0]) for step in range(STEPS)] == [10 * step for step in range(STEPS)]


@LOADERS
def test_parts_of_a_step_share_one_batch_that_is_made_once(loaders):
    make = Made()
    ahead = Prefetcher(make, STEPS, with_loaders(loaders))
    for step in range(4):
        first = ahead(step)
        assert ahead(step) is first
        assert ahead(step) is first
        assert make.steps.count(step) == 1


@LOADERS
def test_every_batch_is_made_once_and_none_after_the_last(loaders):
    assert made_in_all(Made(), loaders, list(range(STEPS))) == list(range(STEPS))


@LOADERS
def test_a_resumed_training_begins_in_the_middle(loaders):
    make = Made()
    assert made_in_all(make, loaders, [7, 7, 8, 9, 10, 11]) == [7, 8, 9, 10, 11]
    assert int(Prefetcher(make, STEPS, with_loaders(loaders))(7)[0]) == 70


@pytest.mark.parametrize("loaders", [1, 3])
def test_batches_are_made_while_the_caller_is_busy(loaders):
    """After one request the next batches are ready without another."""
    make = Made()
    ahead = Prefetcher(make, STEPS, with_loaders(loaders))
    ahead(0)
    for step in range(1, 1 + DEPTH * loaders):
        make.wait_for(step)
    assert not make.done[STEPS - 1].is_set()


@LOADERS
def test_no_more_is_made_ahead_than_fits_into_memory(loaders):
    assert made_in_all(Made(), loaders, [0]) == list(range(1 + DEPTH * loaders))
    assert made_in_all(Made(), loaders, [0, 0, 1]) == list(range(2 + DEPTH * loaders))


def test_several_threads_make_batches_at_the_same_time():
    """Each of three threads waits until the two others have started."""
    together = threading.Barrier(3)
    ahead = Prefetcher(Made(lambda step: together.wait(PATIENCE_S)), 3, with_loaders(3))
    assert [int(ahead(step)[0]) for step in range(3)] == [0, 10, 20]


@LOADERS
def test_an_error_is_raised_where_and_when_the_batch_is_asked_for(loaders):
    def break_third(step: int) -> None:
        if step == 3:
            raise ValueError(f"batch {step} is broken")

    ahead = Prefetcher(Made(break_third), STEPS, with_loaders(loaders))
    for step in range(3):
        assert int(ahead(step)[0]) == 10 * step
    with pytest.raises(ValueError, match="batch 3 is broken"):
        ahead(3)
    with pytest.raises(ValueError, match="batch 3 is broken"):
        ahead(3)
    assert int(ahead(4)[0]) == 40
