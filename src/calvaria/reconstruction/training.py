"""Trains the reconstruction network of one arm."""

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from calvaria import seeds
from calvaria.config import Arm, Config
from calvaria.families.networks import weights
from calvaria.identity import identity
from calvaria.learning.device import fingerprint, seeded
from calvaria.learning.training import Part, Place, Scalars, Training, Update, train, trainable
from calvaria.paths import Run
from calvaria.reconstruction.augmentation import apply_affine, sample_affine
from calvaria.reconstruction.network import ReconstructionNetwork, network_input, network_target
from calvaria.reconstruction.prediction import predict
from calvaria.store import Row

SMOOTH = 1.0  # voxels added to both sides of the Dice, so that it is defined for empty implants


def place_of(run: Run, config: Config, name: str) -> Place:
    """Where the training of an arm writes."""
    directory = run.train(name)
    return Place(
        title=f"train {name}",
        identity=identity(config, "train", name),
        log=directory / "steps.jsonl",
        checkpoint=directory / "scratch" / "checkpoint.safetensors",
        config=config,
        settings=config.train.optimiser,
        tensorboard=directory / "tensorboard",
    )


def training(run: Run, config: Config, name: str, device: torch.device) -> Training:
    """The reconstruction network, learning from the arm's mixture of cases."""
    arm, settings = config.train.arms[name], config.train
    # Every arm starts from the same weights: the arms differ in their data alone.
    with seeded(seeds.torch_generator(config.seed, "train", "weights")):
        network = ReconstructionNetwork(settings).to(device)
    families = sorted(arm.families)
    rows = [run.inject(family).rows() for family in families]
    next_batch = _batches(run, config, name, arm, rows)
    validation = _all_cases(run, "validation", device)
    learned = [row["sha256"] for of_family in rows for row in of_family]

    def loss(step: int, turn: int, part: Part) -> Scalars:
        labels = part.of(next_batch(step)).to(device)
        return {"loss": dice_and_cross_entropy(network(network_input(labels)), network_target(labels))}

    return Training(
        networks={"network": network},
        updates=(Update("network", trainable(network), loss),),
        averaged=network,
        fingerprint=hashlib.sha256(" ".join(learned).encode()).hexdigest() + fingerprint(validation),
        validate=lambda: 1 - _mean_dsc(network, validation, config),
        validation="validation_error",
    )


def train_arm(
    run: Run, config: Config, name: str, device: torch.device
) -> tuple[dict[str, np.ndarray], dict[str, float | int]]:
    """Trains with the arm's mixture and keeps the weights that were best on the validation cohort.

    Returns:
        the weights by name, and what to say of the training.
    """
    trained = training(run, config, name, device)
    position = train(trained, place_of(run, config, name), device)
    assert position.best is not None
    record = {
        "best_step": position.best_step,
        "validation_dsc": 1 - position.best,
        "parameters": trained.parameters,
    }
    return weights(trained.averaged, "network"), record


def dice_and_cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Soft Dice of every case plus cross-entropy, for (n, 1, x, y, z) logits and targets."""
    probability = torch.sigmoid(logits)
    overlap = (probability * target).flatten(1).sum(1)
    total = probability.flatten(1).sum(1) + target.flatten(1).sum(1)
    dice = (2 * overlap + SMOOTH) / (total + SMOOTH)
    return 1 - dice.mean() + functional.binary_cross_entropy_with_logits(logits, target)


def _batches(
    run: Run, config: Config, name: str, arm: Arm, rows: list[list[Row]]
) -> Callable[[int], torch.Tensor]:
    """A function from the number of a step to its batch (n, x, y, z) of labels; it keeps no state."""
    families = sorted(arm.families)
    shares = np.array([arm.families[family] for family in families])
    stores = [run.inject(family) for family in families]
    grid, settings = config.grid.voxels(), config.train

    def batch(number: int) -> torch.Tensor:
        rng = seeds.generator(config.seed, "train", name, number)
        chosen = []
        for family in rng.choice(len(families), size=settings.optimiser.batch_size, p=shares / shares.sum()):
            row = rows[family][int(rng.integers(len(rows[family])))]
            chosen.append(stores[family].volume(row["index"]))
        labels = torch.from_numpy(np.stack(chosen))
        if arm.geometric:
            matrices = [sample_affine(rng, settings.geometric, grid) for _ in chosen]
            labels = apply_affine(labels, np.stack(matrices))
        return labels

    return batch


def _all_cases(run: Run, cohort: str, device: torch.device) -> torch.Tensor:
    store = run.inject(cohort)
    return torch.from_numpy(np.stack(list(store.volumes(store.rows())))).to(device)


def _mean_dsc(network: torch.nn.Module, cases: torch.Tensor, config: Config) -> float:
    implants = predict(network, cases, config.evaluate)
    targets = network_target(cases)[:, 0].cpu().numpy() > 0
    return float(np.mean([_dsc(one, other) for one, other in zip(implants, targets, strict=True)]))


def _dsc(prediction: np.ndarray, reference: np.ndarray) -> float:
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    return 2 * np.count_nonzero(prediction & reference) / total if total else 1.0
