"""Training of the fine network.

In training, the true implant on the coarse grid, bent and thickened at random, replaces the coarse
prediction, so that one fine network serves every arm. The fine network receives only the directions of the
defect. Given the full coarse prediction, it would overfit to surfaces that are unavailable at test time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from calvaria import seeds, sources
from calvaria.config import Config
from calvaria.defects.injection import inject_defect
from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.geometry.resample import resample
from calvaria.pipeline import reads, roots
from calvaria.pipeline.fingerprint import digest
from calvaria.reconstruction.coarse.network import ReconstructionNetwork
from calvaria.reconstruction.fine.inputs import Frame, fine_input
from calvaria.reconstruction.fine.interpolation import surface_distances
from calvaria.reconstruction.fine.network import fine_logits, new_fine_network
from calvaria.reconstruction.fine.refiner import HOLE_PROBABILITY, SURFACES
from calvaria.reconstruction.fine.simulation import simulated_probability
from calvaria.reconstruction.fine.window import Window, fine_grid, window_around
from calvaria.reconstruction.masks import block_share
from calvaria.skull.vault import Vault, find_vault
from calvaria.storage.cohorts import cohort
from calvaria.storage.paths import Run
from calvaria.training.device import fingerprint
from calvaria.training.loop import MicroBatch, Scalars, Training, TrainingJob, Update, train, trainable
from calvaria.training.losses import dice_and_cross_entropy
from calvaria.training.prefetch import Prefetcher
from calvaria.training.weights import weights
from calvaria.utils.progress import Progress

JITTER_VOXELS = 3  # maximum shift of the window's centre, on the coarse grid

Example = tuple[torch.Tensor, torch.Tensor]  # input (n, 4, x, y, z) and target (n, 1, x, y, z), float32


def fine_labels(run: Run, config: Config, name: str) -> list[np.ndarray]:
    """Return the labels of a cohort on the fine grid, (x, y, z) uint8 each, resampled from their scans."""
    assert config.refine is not None
    grid = fine_grid(config.grid.voxels(), config.refine.factor)
    catalogue = {entry.id: entry for entry in sources.catalogue(config.ingest.sources)}
    rows = {row["id"]: row for row in run.ingest.rows()}
    members = cohort(run, name)
    progress = Progress(f"refine {name}", len(members), "skulls")
    labels = []
    for member in members:
        scan = sources.read(config.ingest.sources, catalogue[member["id"]], config.seed)
        pose = np.array(rows[member["id"]]["pose"])
        labels.append(resample(scan.labels, scan.affine, pose, grid))
        progress.advance()
    return labels


@dataclass(frozen=True)
class Skull:
    """A complete skull on the fine grid."""

    mask: np.ndarray  # (x, y, z) uint8
    vault: Vault
    number: int | None  # index of its surfaces among the known ones; None if they are not known


@dataclass(frozen=True)
class ExampleGenerator:
    """Training examples: complete skulls with new defects."""

    config: Config
    frame: Frame
    skulls: Sequence[Skull]
    known: np.ndarray  # (n, 2, p) surfaces of the training skulls

    def batch(self, step: int) -> Example:
        """Return the examples of a training step; a function of ``step`` alone."""
        rng = seeds.generator(self.config.seed, "refine", "batch", step)
        chosen = rng.integers(len(self.skulls), size=self.frame.settings.optimiser.batch_size)
        examples = [self.example(self.skulls[n], "case", step, slot) for slot, n in enumerate(chosen)]
        return torch.cat([inputs for inputs, _ in examples]), torch.cat([target for _, target in examples])

    def example(self, skull: Skull, *keys: str | int) -> Example:
        """Return an example of a window of the minimum size around a new defect.

        Args:
            keys: of the random generators.
        """
        frame, fine = self.frame, self.frame.fine
        defect_rng = partial(seeds.generator, self.config.seed, "refine", *keys)
        labels = inject_defect(skull.mask, fine, self.config.inject, defect_rng, skull.vault).labels
        rng = seeds.generator(self.config.seed, "refine", "window", *keys)
        if rng.random() < 0.5:
            labels = labels[::-1].copy()
        share = block_share(labels == IMPLANT, frame.settings.factor)
        window = self._window(share, rng)
        coarse = simulated_probability(torch.from_numpy(share[window.slices()]), rng).numpy()
        bone = labels == BONE
        vault = frame.vault_image(bone)
        depth = frame.interpolated(vault, coarse > HOLE_PROBABILITY, self._other_surfaces(skull), window)
        inputs = fine_input(
            torch.from_numpy(bone.astype(np.float32)), torch.from_numpy(depth), window, frame.settings.factor
        )
        part = window.slices(frame.settings.factor)
        target = torch.from_numpy((labels[part] == IMPLANT).astype(np.float32))[None, None]
        return inputs, target

    def _window(self, share: np.ndarray, rng: np.random.Generator) -> Window:
        """Return the window of the minimum size around the implant's centre, shifted at random."""
        shift = rng.integers(-JITTER_VOXELS, JITTER_VOXELS + 1, 3)
        centre = np.zeros(share.shape, bool)
        centre[tuple(np.round(np.argwhere(share > 0).mean(axis=0)).astype(int))] = True
        return window_around(centre, self.frame.settings, self.frame.grid, shift.tolist())

    def _other_surfaces(self, skull: Skull) -> np.ndarray:
        """Return the known surfaces (n, 2, p) without the skull's, which would leak the target."""
        return self.known if skull.number is None else np.delete(self.known, skull.number, axis=0)


@dataclass(frozen=True)
class FineLoss:
    """The loss of a training step."""

    network: ReconstructionNetwork
    batches: Callable[[int], Example]
    device: torch.device

    def __call__(self, step: int, turn: int, part: MicroBatch) -> Scalars:
        """Return the loss of a part of the step's batch."""
        inputs, target = (part.of(tensor).to(self.device) for tensor in self.batches(step))
        return {"loss": dice_and_cross_entropy(fine_logits(self.network, inputs), target)}


@dataclass(frozen=True)
class FineValidation:
    """The validation error: 1 minus the mean Dice of fixed examples."""

    network: ReconstructionNetwork
    examples: Sequence[Example]
    device: torch.device

    def __call__(self) -> float:
        """Return the network's current error."""
        scores = []
        for inputs, target in self.examples:
            logits = fine_logits(self.network, inputs.to(self.device))
            predicted = (logits > 0) & (inputs[:, :1].to(self.device) == 0)
            expected = target.to(self.device) > 0
            total = predicted.sum() + expected.sum()
            scores.append(float(2 * (predicted & expected).sum() / total) if total else 1.0)
        return 1 - float(np.mean(scores))


def training(run: Run, config: Config, device: torch.device) -> tuple[Training, np.ndarray]:
    """Return the training of the fine network on real skulls with new defects.

    Returns:
        the training, and the training skulls' surfaces, (n, 2, p) float32.
    """
    assert config.refine is not None
    frame = Frame.of(config)
    masks, held_out_masks = (
        [(labels > 0).astype(np.uint8) for labels in fine_labels(run, config, name)]
        for name in ("training", "validation")
    )
    known = surface_distances([frame.vault_image(mask) for mask in masks])
    skulls = [Skull(mask, find_vault(mask, frame.fine), number) for number, mask in enumerate(masks)]
    held_out = [Skull(mask, find_vault(mask, frame.fine), None) for mask in held_out_masks]
    network = new_fine_network(config).to(device)
    generator = ExampleGenerator(config, frame, skulls, known)
    batches = Prefetcher(generator.batch, config.refine.optimiser.steps, config)
    fixed = [generator.example(skull, "validation", number) for number, skull in enumerate(held_out)]
    prepared = Training(
        networks={"network": network},
        updates=(Update("network", trainable(network), FineLoss(network, batches, device)),),
        averaged=network,
        fingerprint=fingerprint(torch.from_numpy(np.stack([np.packbits(mask) for mask in masks]))),
        validate=FineValidation(network, fixed, device),
        validation="validation_error",
    )
    return prepared, known


def training_job(run: Run, config: Config) -> TrainingJob:
    """Return the files of the training."""
    assert config.refine is not None
    return TrainingJob(
        title="refine",
        identity=digest(reads.fine_network(config), [__name__, *roots.sources_and_recipes(config)]),
        log=run.refine / "steps.jsonl",
        checkpoint=run.refine / "scratch" / "checkpoint.safetensors",
        config=config,
        settings=config.refine.optimiser,
        tensorboard=run.refine / "tensorboard",
    )


def train_fine(
    run: Run, config: Config, device: torch.device
) -> tuple[dict[str, np.ndarray], dict[str, float | int]]:
    """Train the fine network.

    Returns:
        its weights and the training skulls' surfaces by name, and a record of the training.
    """
    trained, known = training(run, config, device)
    position = train(trained, training_job(run, config), device)
    assert position.best is not None
    record = {
        "best_step": position.best_step,
        "validation_dsc": 1 - position.best,
        "parameters": trained.parameters,
    }
    return {**weights(trained.averaged, "network"), SURFACES: known}, record
