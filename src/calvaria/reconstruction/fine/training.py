"""Trains the fine network.

While it is trained, the true implant on the run's grid, bent and thickened at random, stands for what a first
network says: so it serves every arm. Of it the fine network is told the directions alone. Shown the whole, it
learned to read surfaces from it that no first network knows, and was misled by those that it got.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from calvaria import seeds, sources
from calvaria.config import Config
from calvaria.defects.injection import inject_defect
from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.geometry.resample import resample
from calvaria.pipeline.fingerprint import identity
from calvaria.reconstruction.coarse.training import dice_and_cross_entropy
from calvaria.reconstruction.fine.interpolation import surfaces
from calvaria.reconstruction.fine.network import (
    SAID,
    SURFACES,
    Frame,
    fine_grid,
    fine_input,
    fine_logits,
    new_fine_network,
    picture_skull,
    window_around,
)
from calvaria.skull.vault import Vault, find_vault
from calvaria.storage.cohorts import cohort
from calvaria.storage.paths import Run
from calvaria.training.ahead import Ahead
from calvaria.training.device import fingerprint
from calvaria.training.loop import Part, Place, Scalars, Training, Update, train, trainable
from calvaria.training.weights import weights
from calvaria.utils.progress import Progress

BENT_VOXELS = 1.5  # of the run's grid, sd of how far a simulated probability is bent at most
BEND = 6  # voxels of the run's grid from one independent bend to the next
GROWN = 3  # a simulated probability is of an implant thickened by fewer voxels than this: 0, 1 or 2
SHARPNESS = (5.0, 14.0)
SHIFTED = 0.2  # the level at which it is sharpened lies so far around one half
JITTER_VOXELS = 3  # of the run's grid, of the window's middle


def fine_labels(run: Run, config: Config, name: str) -> list[np.ndarray]:
    """The labels of a cohort on the fine grid, (x, y, z) uint8 each, from their scans."""
    assert config.refine is not None
    grid = fine_grid(config.grid.voxels(), config.refine.factor)
    catalogue = {entry.id: entry for entry in sources.catalogue(config.ingest.sources)}
    rows = {row["id"]: row for row in run.ingest.rows()}
    members = cohort(run, name)
    progress = Progress(f"refine {name}", len(members), "skulls")
    found = []
    for member in members:
        scan = sources.read(config.ingest.sources, catalogue[member["id"]], config.seed)
        pose = np.array(rows[member["id"]]["pose"])
        found.append(resample(scan.labels, scan.affine, pose, grid))
        progress.advance()
    return found


def simulated_probability(implant: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """What a first network might say: an implant of another shape, more often too thick than too thin.

    Args:
        implant: (i, j, k) float32 share of each voxel that is implant.

    Returns:
        (i, j, k) float32.
    """
    shape = implant.shape
    coarse = [max(2, -(-n // BEND)) for n in shape]
    bends = rng.standard_normal((1, 3, *coarse), np.float32) * rng.uniform(0, BENT_VOXELS)
    bend = functional.interpolate(
        torch.from_numpy(bends).to(implant.device), size=shape, mode="trilinear", align_corners=True
    )[0]
    # In grid_sample's units of half a box, the last axis first.
    units = torch.tensor([2 / n for n in shape], device=implant.device)[:, None, None, None]
    still = functional.affine_grid(
        torch.eye(3, 4, device=implant.device)[None], [1, 1, *shape], align_corners=False
    )
    where = still + (bend * units).flip(0).permute(1, 2, 3, 0)[None]
    layers = int(rng.integers(GROWN))
    thick = functional.max_pool3d(implant[None, None], 2 * layers + 1, 1, layers)
    bent = functional.grid_sample(thick, where, align_corners=False)[0, 0]
    level = 0.5 + rng.uniform(-SHIFTED, SHIFTED)
    return torch.sigmoid(rng.uniform(*SHARPNESS) * (bent - level))


@dataclass(frozen=True)
class _Skull:
    mask: np.ndarray  # (x, y, z) uint8 on the fine grid
    ellipsoid: Vault
    own: int | None  # number of its surfaces among the known ones, if they are


def training(run: Run, config: Config, device: torch.device) -> tuple[Training, np.ndarray]:
    """The fine network, learning from the real training skulls with ever new defects; and their surfaces."""
    assert config.refine is not None
    settings, frame = config.refine, Frame.of(config)
    fine = frame.fine

    masks, others = (
        [(labels > 0).astype(np.uint8) for labels in fine_labels(run, config, name)]
        for name in ("training", "validation")
    )
    known = surfaces([picture_skull(mask, fine, frame.anchor_mm) for mask in masks])
    skulls = [_Skull(mask, find_vault(mask, fine), number) for number, mask in enumerate(masks)]
    held_out = [_Skull(mask, find_vault(mask, fine), None) for mask in others]
    network = new_fine_network(config).to(device)

    def surfaces_for(skull: _Skull) -> np.ndarray:
        """(n, 2, p) surfaces of other skulls: never its own, or it would be told too well."""
        return known if skull.own is None else np.delete(known, skull.own, axis=0)

    def case(skull: _Skull, *keys: str | int) -> tuple[torch.Tensor, torch.Tensor]:
        """Input (1, 4, x, y, z) and target (1, 1, x, y, z) of a window of the least size."""

        def drawn(attempt: int) -> np.random.Generator:
            return seeds.generator(config.seed, "refine", *keys, attempt)

        labels = inject_defect(skull.mask, fine, config.inject, drawn, skull.ellipsoid).labels
        rng = seeds.generator(config.seed, "refine", "window", *keys)
        if rng.random() < 0.5:
            labels = labels[::-1].copy()
        share = _pooled(labels == IMPLANT, settings.factor)
        shift = rng.integers(-JITTER_VOXELS, JITTER_VOXELS + 1, 3)
        middle = np.zeros(share.shape, bool)
        middle[tuple(np.round(np.argwhere(share > 0).mean(axis=0)).astype(int))] = True
        window = window_around(middle, settings, frame.grid, shift.tolist())
        part = window.slices(settings.factor)
        said = simulated_probability(torch.from_numpy(share[window.slices()]), rng)
        bone = labels == BONE
        picture = picture_skull(bone.view(np.uint8), fine, frame.anchor_mm)
        bridged = torch.from_numpy(frame.bridged(picture, said.numpy() > SAID, surfaces_for(skull), window))
        seen = fine_input(torch.from_numpy(bone.astype(np.float32)), bridged, window, settings.factor)
        target = torch.from_numpy((labels[part] == IMPLANT).astype(np.float32))[None, None]
        return seen, target

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = seeds.generator(config.seed, "refine", "batch", step)
        chosen = rng.integers(len(skulls), size=settings.optimiser.batch_size)
        cases = [case(skulls[number], "case", step, slot) for slot, number in enumerate(chosen)]
        return torch.cat([seen for seen, _ in cases]), torch.cat([target for _, target in cases])

    prepared = Ahead(batch, settings.optimiser.steps, config)

    def loss(step: int, turn: int, part: Part) -> Scalars:
        seen, target = (part.of(one).to(device) for one in prepared(step))
        return {"loss": dice_and_cross_entropy(fine_logits(network, seen), target)}

    fixed = [case(skull, "validation", number) for number, skull in enumerate(held_out)]

    def error() -> float:
        found = []
        for seen, target in fixed:
            predicted = (fine_logits(network, seen.to(device)) > 0) & (seen[:, :1].to(device) == 0)
            wanted = target.to(device) > 0
            both = predicted.sum() + wanted.sum()
            found.append(float(2 * (predicted & wanted).sum() / both) if both else 1.0)
        return 1 - float(np.mean(found))

    trained = Training(
        networks={"network": network},
        updates=(Update("network", trainable(network), loss),),
        averaged=network,
        fingerprint=fingerprint(torch.from_numpy(np.stack([np.packbits(mask) for mask in masks]))),
        validate=error,
        validation="validation_error",
    )
    return trained, known


def _pooled(mask: np.ndarray, factor: int) -> np.ndarray:
    """The share of each coarser voxel that is in a mask, float32."""
    x, y, z = (n // factor for n in mask.shape)
    blocks = mask.reshape(x, factor, y, factor, z, factor)
    return (np.count_nonzero(blocks, axis=(1, 3, 5)) / np.float32(factor**3)).astype(np.float32)


def place_of(run: Run, config: Config) -> Place:
    """Where its training writes."""
    assert config.refine is not None
    return Place(
        title="refine",
        identity=identity(config, "refine"),
        log=run.refine / "steps.jsonl",
        checkpoint=run.refine / "scratch" / "checkpoint.safetensors",
        config=config,
        settings=config.refine.optimiser,
        tensorboard=run.refine / "tensorboard",
    )


def train_fine(
    run: Run, config: Config, device: torch.device
) -> tuple[dict[str, np.ndarray], dict[str, float | int]]:
    """Trains the fine network.

    Returns:
        its weights and the training skulls' surfaces by name, and what to say of the training.
    """
    trained, known = training(run, config, device)
    position = train(trained, place_of(run, config), device)
    assert position.best is not None
    record = {
        "best_step": position.best_step,
        "validation_dsc": 1 - position.best,
        "parameters": trained.parameters,
    }
    return {**weights(trained.averaged, "network"), SURFACES: known}, record
