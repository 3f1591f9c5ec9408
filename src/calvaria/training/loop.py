"""The training loop of all networks."""

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from calvaria.errors import CalvariaError
from calvaria.plugins.compute import Compute
from calvaria.plugins.section import Optimiser
from calvaria.storage.store import writing
from calvaria.training import checkpoint
from calvaria.training.adam import Adam
from calvaria.training.average import MovingAverage
from calvaria.training.checkpoint import Named, TrainingState, under
from calvaria.training.precision import autocast
from calvaria.training.workers import Workers
from calvaria.utils.interruption import postponed
from calvaria.utils.progress import Progress

logger = logging.getLogger(__name__)

WARM_UP = 0.05  # fraction of the steps with a rising learning rate
GRADIENT_NORM = 1.0

Scalars = dict[str, torch.Tensor]
Slice = TypeVar("Slice", torch.Tensor, np.ndarray)


class DivergedError(CalvariaError):
    """Error for a loss, gradient or validation figure that is not finite."""


@dataclass(frozen=True)
class MicroBatch:
    """The part of a step's batch that one pass of one process computes."""

    index: int = 0
    count: int = 1

    def of(self, batch: Slice) -> Slice:
        """Return this micro-batch's entries of a batch (n, ...)."""
        size = len(batch) // self.count
        return batch[self.index * size : (self.index + 1) * size]


@dataclass(frozen=True)
class Update:
    """Parameters that are updated together, and their loss."""

    name: str
    parameters: tuple[torch.nn.Parameter, ...]
    loss: Callable[[int, int, MicroBatch], Scalars]  # of (step, turn, micro-batch); has a scalar "loss"
    turns: int = 1  # updates per step
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float | None = GRADIENT_NORM


@dataclass(frozen=True)
class Training:
    """Networks, updates and validation of a training; a step makes the updates in order.

    All random numbers must be a function of the step's number and be drawn for the whole batch.
    """

    networks: Mapping[str, torch.nn.Module]  # all networks that the updates change
    updates: tuple[Update, ...]
    averaged: torch.nn.Module  # its moving average is validated, and is the result
    fingerprint: str  # digest of the training data
    validate: Callable[[], float] | None = None  # lower is better
    validation: str = "validation"  # name of the validation figure in the log
    after: Callable[[int], Scalars] | None = None  # called at the end of every step

    @property
    def parameters(self) -> int:
        """Return the number of parameters of all networks."""
        return sum(p.numel() for network in self.networks.values() for p in network.parameters())


@dataclass(frozen=True)
class TrainingJob:
    """Identity and files of a training in a run."""

    title: str
    identity: str  # digest of config and code
    log: Path  # scalars of every step
    checkpoint: Path
    config: Compute
    settings: Optimiser
    tensorboard: Path = field(default=Path("tensorboard"))


def train(training: Training, job: TrainingJob, device: torch.device) -> TrainingState:
    """Train to the last step, or until ``patience`` validations have brought no improvement.

    Afterwards ``training.averaged`` has the moving average of the weights, with validation that of the best
    step. An interrupted training resumes from its last checkpoint with bit-identical results;
    ``remove_checkpoint`` deletes that file once the result is written. On SIGINT and SIGTERM the loop
    finishes its step and writes a checkpoint first.

    Raises:
        DivergedError: if a loss, gradient or validation figure is not finite, after writing a checkpoint.
    """
    workers = Workers(job.config, device)
    loop = _Loop(training, job, device, workers)
    loop.resume()
    first = workers.rank == 0
    progress = Progress(job.title, job.settings.steps, "steps", loop.position.step) if first else None
    board = _board(job) if first else None
    saved = time.monotonic()
    with postponed() as stop:
        while loop.position.step < job.settings.steps and not loop.position.stopped:
            scalars = loop.step()
            if first:
                _append(job.log, {"step": loop.position.step, **scalars})
            if stop:
                break
            if progress is not None:
                progress.advance(", ".join(f"{name} {value:.4g}" for name, value in scalars.items()))
            if board is not None:
                for name, value in scalars.items():
                    board.add_scalar(name, value, loop.position.step)
            if first and time.monotonic() - saved >= job.config.checkpoint_s:
                loop.save()
                saved = time.monotonic()
        if first:
            loop.save()  # the work after the last step may be interrupted, too
    loop.finish()
    return loop.position


def _append(log: Path, row: dict[str, float]) -> None:
    """Add a line to the log of a training."""
    with writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")


def remove_checkpoint(job: TrainingJob) -> None:
    """Delete the checkpoint of a training whose result has been written."""
    job.checkpoint.unlink(missing_ok=True)


class _Loop:
    """State of a training, and its steps."""

    def __init__(self, training: Training, job: TrainingJob, device: torch.device, workers: Workers) -> None:
        self.training, self.job, self.device, self.workers = training, job, device, workers
        settings = job.settings
        self.parts = settings.accumulate * workers.count
        self.optimisers = [
            Adam(update.parameters, lr=settings.learning_rate, betas=update.betas)
            for update in training.updates
        ]
        self.average = MovingAverage(training.averaged.parameters(), decay=settings.ema_decay)
        self.best: Named = {}
        self.position = TrainingState(f"{job.identity} {training.fingerprint} torch {torch.__version__}")

    def step(self) -> dict[str, float]:
        """Run one step: every update, the moving average, and validation when due; return the scalars."""
        number, settings = self.position.step, self.job.settings
        scalars: dict[str, float] = {}
        for update, optimiser in zip(self.training.updates, self.optimisers, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * _schedule(number, settings)
            for turn in range(update.turns):
                found = self._update(update, optimiser, number, turn)
            named = len(self.training.updates) > 1
            scalars |= {f"{update.name} {name}" if named else name: value for name, value in found.items()}
        self.average.step(self.training.averaged.parameters())
        if self.training.after is not None:
            scalars |= {name: float(value) for name, value in self.training.after(number).items()}
        self.position.step = number + 1
        due = (number + 1) % settings.validate_every == 0 or number + 1 == settings.steps
        if due and self.training.validate is not None:
            scalars[self.training.validation] = self._validate()
        return scalars

    def _update(
        self, update: Update, optimiser: torch.optim.Optimizer, number: int, turn: int
    ) -> dict[str, float]:
        optimiser.zero_grad()
        totals: dict[str, float] = {}
        for piece in range(self.job.settings.accumulate):
            part = MicroBatch(self.workers.rank * self.job.settings.accumulate + piece, self.parts)
            with autocast(self.job.config, self.device):
                scalars = update.loss(number, turn, part)
            (scalars["loss"] / self.job.settings.accumulate).backward(inputs=list(update.parameters))
            for name, value in scalars.items():
                share = float(value.detach()) / self.job.settings.accumulate
                totals[name] = totals.get(name, 0.0) + share
        self.workers.average_gradients(update.parameters)
        totals = self.workers.mean(totals)
        norm = torch.nn.utils.clip_grad_norm_(update.parameters, update.clip or math.inf)
        for name, figure in {**totals, "gradient": float(norm)}.items():
            if not math.isfinite(figure):
                self._diverged(f"{update.name} {name}", figure)
        optimiser.step()
        return totals

    def _validate(self) -> float:
        """Return the validation figure of the averaged weights; keep those weights if it is the best."""
        assert self.training.validate is not None
        averaged, position = self.training.averaged, self.position
        self.average.store(averaged.parameters())
        self.average.copy_to(averaged.parameters())
        averaged.eval()
        with torch.inference_mode(), autocast(self.job.config, self.device):
            value = self.workers.mean({"value": float(self.training.validate())})["value"]
        averaged.train()
        if math.isfinite(value) and (position.best is None or value < position.best):
            position.best, position.best_step, position.stale = value, position.step, 0
            self.best = {name: tensor.clone() for name, tensor in averaged.state_dict().items()}
        else:
            position.stale += 1
        self.average.restore(averaged.parameters())
        if not math.isfinite(value):
            self._diverged(self.training.validation, value)
        patience = self.job.settings.patience
        position.stopped = patience is not None and position.stale >= patience
        return value

    def _diverged(self, name: str, value: float) -> None:
        if self.workers.rank == 0:
            self.save()
        raise DivergedError(
            f"{self.job.title}: {name} is {value} at step {self.position.step + 1}; lower the learning "
            f"rate. The weights before that step are in {self.job.checkpoint}"
        )

    def finish(self) -> None:
        """Load the best averaged weights, or without validation the last ones."""
        if self.best:
            self.training.averaged.load_state_dict(self.best)
        else:
            self.average.copy_to(self.training.averaged.parameters())
        self.training.averaged.eval()

    def save(self) -> None:
        """Write the checkpoint."""
        tensors: Named = {f"best.{name}": value for name, value in self.best.items()}
        for name, network in self.training.networks.items():
            tensors |= {f"network.{name}.{key}": value for key, value in network.state_dict().items()}
        for number, optimiser in enumerate(self.optimisers):
            tensors |= checkpoint.optimiser_tensors(optimiser, f"optimiser.{number}")
        for number, shadow in enumerate(self.average.averages):
            tensors[f"average.{number}"] = shadow
        checkpoint.save(self.job.checkpoint, self.position, tensors)

    def resume(self) -> None:
        """Restore the checkpoint of this training, if there is one, and truncate the log to its step."""
        found = checkpoint.load(self.job.checkpoint, self.position.key)
        if found is not None:
            self.position, tensors = found
            for name, network in self.training.networks.items():
                network.load_state_dict(under(tensors, f"network.{name}"))
            for number, optimiser in enumerate(self.optimisers):
                checkpoint.restore_optimiser(optimiser, tensors, f"optimiser.{number}")
            shadows = under(tensors, "average")
            self.average.averages = [shadows[str(number)].to(self.device) for number in range(len(shadows))]
            self.average.steps = self.position.step
            self.best = {name: value.to(self.device) for name, value in under(tensors, "best").items()}
            logger.info("%s: resumed after step %d", self.job.title, self.position.step)
        if self.workers.rank == 0 and self.job.log.is_file():
            kept = self.job.log.read_text(encoding="utf-8").splitlines(keepends=True)[: self.position.step]
            self.job.log.write_text("".join(kept), encoding="utf-8")


def _schedule(step: int, settings: Optimiser) -> float:
    """Return the factor of the learning rate: linear warm-up, then cosine decay to zero."""
    warm = max(1, round(WARM_UP * settings.steps))
    return min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(1.0, step / settings.steps))))


def _board(job: TrainingJob):  # type: ignore[no-untyped-def]  # TensorBoard need not be installed
    """Return a writer for TensorBoard if the config enables it."""
    if not job.config.tensorboard:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise CalvariaError(
            "tensorboard: true needs TensorBoard: pip install tensorboard, or set it to false"
        ) from None
    return SummaryWriter(str(job.tensorboard))


def trainable(*networks: torch.nn.Module) -> tuple[torch.nn.Parameter, ...]:
    """Return all parameters of networks that require gradients."""
    return tuple(p for p in chain(*(network.parameters() for network in networks)) if p.requires_grad)
