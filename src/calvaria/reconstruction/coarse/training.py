"""Training of an arm's coarse networks."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from calvaria import seeds
from calvaria.config import Arm, Config
from calvaria.defects.injection import inject_defect
from calvaria.geometry.grid import IMPLANT
from calvaria.geometry.overlap import dice
from calvaria.pipeline import reads, roots
from calvaria.pipeline.fingerprint import digest
from calvaria.reconstruction.coarse.augmentation import Change, apply_changes, sample_change
from calvaria.reconstruction.coarse.inference import extract_implant, mean_probabilities, remaining_bone
from calvaria.reconstruction.coarse.network import (
    ReconstructionNetwork,
    network_input,
    network_target,
    new_network,
)
from calvaria.storage.cohorts import skulls
from calvaria.storage.paths import Run
from calvaria.storage.rows import InjectRow
from calvaria.training.device import fingerprint
from calvaria.training.loop import MicroBatch, Scalars, Training, TrainingJob, Update, train, trainable
from calvaria.training.losses import dice_and_cross_entropy
from calvaria.training.prefetch import Prefetcher
from calvaria.training.weights import weights

Batch = tuple[torch.Tensor, list[Change]]


@dataclass(frozen=True)
class Member:
    """One network of an arm."""

    run: Run
    config: Config
    arm: str
    seed: int

    @property
    def settings(self) -> Arm:
        return self.config.train.arms[self.arm]

    @property
    def job(self) -> TrainingJob:
        """Files of the training."""
        directory = self.run.train(self.arm, self.seed)
        return TrainingJob(
            title=f"train {self.arm} {self.seed}",
            identity=digest(reads.arm(self.config, self.arm), [__name__, *roots.fresh_recipes(self.config)]),
            log=directory / "steps.jsonl",
            checkpoint=directory / "scratch" / "checkpoint.safetensors",
            config=self.config,
            settings=self.config.train.optimiser,
            tensorboard=directory / "tensorboard",
        )

    @cached_property
    def rows(self) -> dict[str, list[InjectRow]]:
        """The cases of every family of the mixture."""
        cases = {}
        for family in sorted(self.settings.families):
            rows = self.run.inject(family).rows()
            limit = self.settings.samples
            if limit is not None and not self.config.fit[family].is_real:
                rows = rows[: limit * self.config.inject.per_skull]
            cases[family] = rows
        return cases

    @cached_property
    def labels(self) -> dict[str, Any]:
        """The open array of the cases of every family of the mixture."""
        return {family: self.run.inject(family).labels for family in self.settings.families}

    def batch(self, number: int) -> Batch:
        """Return a step's cases (n, x, y, z) uint8 and their augmentation, given its number alone."""
        # The arm's name is not part of the key, so that all arms draw the same random numbers.
        rng = seeds.generator(self.config.seed, "train", "batch", self.seed, number)
        families = sorted(self.settings.families)
        shares = np.array([self.settings.families[family] for family in families])
        size, grid = self.config.train.optimiser.batch_size, self.config.grid.voxels()
        chosen = []
        for family in rng.choice(len(families), size=size, p=shares / shares.sum()):
            rows = self.rows[families[family]]
            row = rows[int(rng.integers(len(rows)))]
            store = self.run.inject(families[family])
            chosen.append(store.volume(row, self.labels[families[family]]))
        if self.config.train.fresh_defects:
            chosen = [self._with_new_defect(labels, number, slot) for slot, labels in enumerate(chosen)]
        geometric = self.settings.augmentation
        changes = [sample_change(rng, geometric, grid) for _ in chosen] if geometric is not None else []
        return torch.from_numpy(np.stack(chosen)), changes

    def _with_new_defect(self, labels: np.ndarray, number: int, slot: int) -> np.ndarray:
        """Return the skull of a case with a new defect; the generator is keyed by step, slot and attempt."""
        rng = partial(seeds.generator, self.config.seed, "train", "defect", self.seed, number, slot)
        skull = (labels > 0).astype(np.uint8)
        return inject_defect(skull, self.config.grid.voxels(), self.config.inject, rng).labels


def training(member: Member, device: torch.device, batch: Callable[[int], Batch] | None = None) -> Training:
    """Return the training of a coarse network on the arm's mixture of cases.

    Args:
        batch: returns the batch of a step; by default the member's, prefetched.
    """
    config, settings = member.config, member.config.train
    network = new_network(config, member.seed)
    real = skulls(member.run, "training")[1]
    if network.completion is not None:
        network.completion.start(torch.from_numpy(real)[:, None])
    network.to(device)
    validation = _all_cases(member.run, "validation", device)
    learned = [row["sha256"] for rows in member.rows.values() for row in rows]
    batch = batch or Prefetcher(member.batch, settings.optimiser.steps, config)

    def loss(step: int, turn: int, part: MicroBatch) -> Scalars:
        labels, changes = batch(step)
        labels = labels.to(device)
        if changes:
            labels = apply_changes(labels, changes)
        labels = part.of(labels)
        target = network_target(labels, settings.predicts)
        return {"loss": supervised_loss(network.level_logits(network_input(labels, settings.mirror)), target)}

    return Training(
        networks={"network": network},
        updates=(Update("network", trainable(network), loss),),
        averaged=network,
        fingerprint=hashlib.sha256(" ".join(learned).encode()).hexdigest()
        + fingerprint(validation, torch.from_numpy(real)),
        validate=lambda: 1 - _mean_dsc(network, validation, config),
        validation="validation_error",
    )


def train_member(
    member: Member, device: torch.device
) -> tuple[dict[str, np.ndarray], dict[str, float | int]]:
    """Train on the arm's mixture and keep the weights that were best on the validation cohort.

    Returns:
        the weights by name, and a record of the training.
    """
    trained = training(member, device)
    position = train(trained, member.job, device)
    assert position.best is not None
    record = {
        "best_step": position.best_step,
        "validation_dsc": 1 - position.best,
        "parameters": trained.parameters,
    }
    return weights(trained.averaged, "network"), record


def supervised_loss(level_logits: list[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
    """Return the weighted mean loss of all levels; each coarser level has half the weight."""
    shares = [0.5**level for level in range(len(level_logits))]
    losses = [
        share * dice_and_cross_entropy(logits, target)
        for share, logits in zip(shares, level_logits, strict=True)
    ]
    return torch.stack(losses).sum() / sum(shares)


def _all_cases(run: Run, cohort: str, device: torch.device) -> torch.Tensor:
    store = run.inject(cohort)
    return torch.from_numpy(np.stack(list(store.volumes(store.rows())))).to(device)


def _mean_dsc(network: ReconstructionNetwork, cases: torch.Tensor, config: Config) -> float:
    probabilities = mean_probabilities([network], cases, config.evaluate, config.train.mirror)
    bone = remaining_bone(cases)
    expected = (cases == IMPLANT).cpu().numpy()
    scores = [
        dice(extract_implant(probability, left, config.evaluate, config.train.predicts), target)
        for probability, left, target in zip(probabilities, bone, expected, strict=True)
    ]
    return float(np.mean(scores))
