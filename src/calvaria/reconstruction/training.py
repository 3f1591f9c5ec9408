"""Trains the reconstruction network of one arm."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from calvaria import seeds
from calvaria.config import Arm, Config
from calvaria.families.networks import weights
from calvaria.learning import adam, run_steps, seeded
from calvaria.paths import Run
from calvaria.reconstruction.augmentation import apply_affine, sample_affine
from calvaria.reconstruction.network import ReconstructionNetwork, network_input, network_target
from calvaria.reconstruction.prediction import predict

SMOOTH = 1.0  # voxels added to both sides of the Dice, so that it is defined for empty implants
GRADIENT_NORM = 1.0


def train_arm(
    run: Run, config: Config, name: str, device: torch.device
) -> tuple[dict[str, np.ndarray], dict[str, float | int]]:
    """Trains with the arm's mixture and keeps the weights that were best on the validation cohort.

    Returns:
        the weights by name, and what to say of the training.
    """
    arm, settings = config.train.arms[name], config.train
    # Every arm starts from the same weights: the arms differ in their data alone.
    with seeded(seeds.torch_generator(config.seed, "train", "weights")):
        network = ReconstructionNetwork(settings).to(device)
    optimiser, schedule = adam(network.parameters(), settings.optimiser)
    next_batch = _batches(run, config, name, arm, device)
    validation = _all_cases(run, "validation", device)
    best: dict[str, float | int] = {"best_step": 0, "validation_dsc": -1.0}
    best_weights: dict[str, np.ndarray] = {}

    def step(number: int) -> dict[str, torch.Tensor]:
        nonlocal best_weights
        labels = next_batch(number)
        loss = dice_and_cross_entropy(network(network_input(labels)), network_target(labels))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
        optimiser.step()
        schedule.step()
        scalars = {"loss": loss.detach()}
        if (number + 1) % settings.validate_every == 0 or number + 1 == settings.optimiser.steps:
            score = _mean_dsc(network, validation, config)
            scalars["validation_dsc"] = torch.tensor(score)
            if score > best["validation_dsc"]:
                best.update(best_step=number + 1, validation_dsc=score)
                best_weights = {key: value.copy() for key, value in weights(network, "network").items()}
        return scalars

    run_steps(f"train {name}", settings.optimiser.steps, step, run.train(name) / "steps.jsonl")
    best["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    return best_weights, best


def dice_and_cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Soft Dice of every case plus cross-entropy, for (n, 1, x, y, z) logits and targets."""
    probability = torch.sigmoid(logits)
    overlap = (probability * target).flatten(1).sum(1)
    total = probability.flatten(1).sum(1) + target.flatten(1).sum(1)
    dice = (2 * overlap + SMOOTH) / (total + SMOOTH)
    return 1 - dice.mean() + functional.binary_cross_entropy_with_logits(logits, target)


def _batches(
    run: Run, config: Config, name: str, arm: Arm, device: torch.device
) -> Callable[[int], torch.Tensor]:
    """A function from the number of a step to its batch (n, x, y, z) of labels; it keeps no state."""
    families = sorted(arm.families)
    shares = np.array([arm.families[family] for family in families])
    stores = [run.inject(family) for family in families]
    rows = [store.rows() for store in stores]
    grid, settings = config.grid.voxels(), config.train

    def batch(number: int) -> torch.Tensor:
        rng = seeds.generator(config.seed, "train", name, number)
        chosen = []
        for family in rng.choice(len(families), size=settings.optimiser.batch_size, p=shares / shares.sum()):
            row = rows[family][int(rng.integers(len(rows[family])))]
            chosen.append(stores[family].volume(row["index"]))
        labels = torch.from_numpy(np.stack(chosen)).to(device)
        if arm.geometric:
            matrices = [sample_affine(rng, settings.geometric, grid) for _ in chosen]
            labels = apply_affine(labels, np.stack(matrices))
        return labels

    return batch


def _all_cases(run: Run, cohort: str, device: torch.device) -> torch.Tensor:
    store = run.inject(cohort)
    return torch.from_numpy(np.stack(list(store.volumes(store.rows())))).to(device)


def _mean_dsc(network: torch.nn.Module, cases: torch.Tensor, config: Config) -> float:
    network.eval()
    implants = predict(network, cases, config.evaluate)
    network.train()
    targets = network_target(cases)[:, 0].cpu().numpy() > 0
    return float(np.mean([_dsc(one, other) for one, other in zip(implants, targets, strict=True)]))


def _dsc(prediction: np.ndarray, reference: np.ndarray) -> float:
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    return 2 * np.count_nonzero(prediction & reference) / total if total else 1.0
