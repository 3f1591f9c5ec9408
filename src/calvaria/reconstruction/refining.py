"""Draws the implant anew on a finer grid, only where the first network found a defect.

The fine grid has ``factor`` cubed voxels in each voxel of the run's grid. What the fine network sees is the
remaining bone, its mirror image, and the first network's probability. While it is trained, that probability
is the true implant on the run's grid, bent and sharpened at random: so it serves every arm, and no arm's
mistakes on skulls that it knows mislead it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from calvaria import seeds, sources
from calvaria.config import Config, Refine
from calvaria.conform.resample import resample
from calvaria.defects.injection import inject_defect
from calvaria.defects.vault import Vault, find_vault
from calvaria.families.networks import weights
from calvaria.grid import BONE, IMPLANT, Grid
from calvaria.identity import identity
from calvaria.learning.device import fingerprint, seeded
from calvaria.learning.training import Part, Place, Scalars, Training, Update, train, trainable
from calvaria.paths import Run
from calvaria.progress import Progress
from calvaria.reconstruction.network import ReconstructionNetwork
from calvaria.reconstruction.training import dice_and_cross_entropy
from calvaria.stages.split import cohort

INPUTS = 3
BENT_VOXELS = 1.5  # of the run's grid, sd of how far a simulated probability is bent at most
BEND = 6  # voxels of the run's grid from one independent bend to the next
SHARPNESS = (5.0, 14.0)
SHIFTED = 0.2  # the level at which it is sharpened lies so far around one half
JITTER_VOXELS = 3  # of the run's grid, of the window's middle


@dataclass(frozen=True)
class Window:
    """A box in voxels of the run's grid."""

    low: tuple[int, int, int]
    size: tuple[int, int, int]

    def slices(self, factor: int = 1) -> tuple[slice, slice, slice]:
        """The same box on a grid that is ``factor`` times finer."""
        x, y, z = (slice(a * factor, (a + n) * factor) for a, n in zip(self.low, self.size, strict=True))
        return x, y, z


def fine_grid(grid: Grid, factor: int) -> Grid:
    """The grid that has factor cubed voxels in each of another's."""
    x, y, z = (n * factor for n in grid.shape)
    return Grid((x, y, z), grid.spacing_mm / factor)


def window_around(mask: np.ndarray, settings: Refine, grid: Grid, shift: Sequence[int] = (0, 0, 0)) -> Window:
    """The window around a mask (x, y, z) on the run's grid; it lies within the grid.

    Args:
        shift: of its middle, in voxels.
    """
    found = np.argwhere(mask)
    low, high = found.min(axis=0), found.max(axis=0) + 1
    step = settings.divisor // np.gcd(settings.divisor, settings.factor)  # whole voxels of both grids
    least = round(settings.window_mm / grid.spacing_mm)
    margin = int(np.ceil(settings.margin_mm / grid.spacing_mm))
    starts, sizes = [], []
    for a, b, n, moved in zip(low, high, grid.shape, shift, strict=True):
        wanted = max(least, int(b - a) + 2 * margin)
        size = min(-(-wanted // step) * step, n // step * step)
        start = round((a + b) / 2 - size / 2) + moved
        starts.append(min(max(start, 0), n - size))
        sizes.append(size)
    return Window((starts[0], starts[1], starts[2]), (sizes[0], sizes[1], sizes[2]))


def fine_input(bone: torch.Tensor, probability: torch.Tensor, window: Window, factor: int) -> torch.Tensor:
    """What the fine network sees of one skull.

    Args:
        bone: (x, y, z) float32 on the whole fine grid, 1.0 where there is bone.
        probability: (i, j, k) float32 on the window of the run's grid.

    Returns:
        (1, 3, x, y, z) of the window: bone, mirrored bone, probability.
    """
    part = window.slices(factor)
    finer = functional.interpolate(
        probability[None, None], scale_factor=factor, mode="trilinear", align_corners=False
    )
    return torch.cat([bone[part][None, None], bone.flip(0)[part][None, None], finer], dim=1)


def new_fine_network(config: Config) -> ReconstructionNetwork:
    """An untrained network of the config's size."""
    assert config.refine is not None
    with seeded(seeds.torch_generator(config.seed, "refine", "weights")):
        return ReconstructionNetwork(INPUTS, config.refine.patch, config.refine.channels)


def fine_skulls(run: Run, config: Config, name: str) -> list[np.ndarray]:
    """The complete skulls of a cohort on the fine grid, (x, y, z) uint8 each, from their scans."""
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
        found.append((resample(scan.labels, scan.affine, pose, grid) > 0).astype(np.uint8))
        progress.advance()
    return found


def simulated_probability(implant: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """What a first network might say.

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
    bent = functional.grid_sample(implant[None, None], where, align_corners=False)[0, 0]
    level = 0.5 + rng.uniform(-SHIFTED, SHIFTED)
    return torch.sigmoid(rng.uniform(*SHARPNESS) * (bent - level))


@dataclass(frozen=True)
class _Skull:
    mask: np.ndarray  # (x, y, z) uint8 on the fine grid
    vault: Vault


def training(run: Run, config: Config, device: torch.device) -> Training:
    """The fine network, learning from the real training skulls with a new defect in every case."""
    assert config.refine is not None
    settings, grid = config.refine, config.grid.voxels()
    fine = fine_grid(grid, settings.factor)
    masks = fine_skulls(run, config, "training")
    skulls = [_Skull(mask, find_vault(mask, fine)) for mask in masks]
    held_out = fine_skulls(run, config, "validation")
    network = new_fine_network(config).to(device)

    def case(skull: _Skull, *keys: str | int) -> tuple[torch.Tensor, torch.Tensor]:
        """Input (1, 3, x, y, z) and target (1, 1, x, y, z) of a window of the least size."""

        def drawn(attempt: int) -> np.random.Generator:
            return seeds.generator(config.seed, "refine", *keys, attempt)

        labels = inject_defect(skull.mask, fine, config.inject, drawn, skull.vault).labels
        rng = seeds.generator(config.seed, "refine", "window", *keys)
        if rng.random() < 0.5:
            labels = labels[::-1].copy()
        share = _pooled(labels == IMPLANT, settings.factor)
        shift = rng.integers(-JITTER_VOXELS, JITTER_VOXELS + 1, 3)
        middle = np.zeros(share.shape, bool)
        middle[tuple(np.round(np.argwhere(share > 0).mean(axis=0)).astype(int))] = True
        window = window_around(middle, settings, grid, shift.tolist())
        part = window.slices(settings.factor)
        hint = simulated_probability(torch.from_numpy(share[window.slices()]), rng)
        seen = fine_input(
            torch.from_numpy((labels == BONE).astype(np.float32)), hint, window, settings.factor
        )
        target = torch.from_numpy((labels[part] == IMPLANT).astype(np.float32))[None, None]
        return seen, target

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = seeds.generator(config.seed, "refine", "batch", step)
        chosen = rng.integers(len(skulls), size=settings.optimiser.batch_size)
        cases = [case(skulls[number], "case", step, place) for place, number in enumerate(chosen)]
        return torch.cat([seen for seen, _ in cases]), torch.cat([target for _, target in cases])

    def loss(step: int, turn: int, part: Part) -> Scalars:
        seen, target = (part.of(one).to(device) for one in batch(step))
        return {"loss": dice_and_cross_entropy(network(seen), target)}

    fixed = [
        case(_Skull(mask, find_vault(mask, fine)), "validation", number)
        for number, mask in enumerate(held_out)
    ]

    def error() -> float:
        found = []
        for seen, target in fixed:
            predicted = (network(seen.to(device)) > 0) & (seen[:, :1].to(device) == 0)
            wanted = target.to(device) > 0
            both = predicted.sum() + wanted.sum()
            found.append(float(2 * (predicted & wanted).sum() / both) if both else 1.0)
        return 1 - float(np.mean(found))

    return Training(
        networks={"network": network},
        updates=(Update("network", trainable(network), loss),),
        averaged=network,
        fingerprint=fingerprint(torch.from_numpy(np.stack([np.packbits(mask) for mask in masks]))),
        validate=error,
        validation="validation_error",
    )


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
    """Trains the fine network; gives its weights by name, and what to say of the training."""
    trained = training(run, config, device)
    position = train(trained, place_of(run, config), device)
    assert position.best is not None
    record = {
        "best_step": position.best_step,
        "validation_dsc": 1 - position.best,
        "parameters": trained.parameters,
    }
    return weights(trained.averaged, "network"), record


def refined(
    network: ReconstructionNetwork,
    probability: np.ndarray,
    implant: np.ndarray,
    bone: np.ndarray,
    settings: Refine,
    grid: Grid,
) -> tuple[np.ndarray, Window]:
    """The implant's probability on the fine window, the mean for the skull and its mirror image.

    Args:
        network: in evaluation mode.
        probability: (i, j, k) float32 of the implant on the run's grid.
        implant: (i, j, k) bool, what was found; not empty.
        bone: (x, y, z) bool on the fine grid, the remaining bone.

    Returns:
        (x, y, z) float32 probability of implant, 0 in bone; and the window.
    """
    device = next(network.parameters()).device
    window = window_around(implant, settings, grid)
    # Only the piece that was found is hinted at.
    hint = np.where(_grown(implant), probability, 0).astype(np.float32)
    answers = []
    for mirrored in (False, True):
        there, said, box = bone, hint, window
        if mirrored:
            there, said = bone[::-1].copy(), hint[::-1].copy()
            low = grid.shape[0] - window.low[0] - window.size[0]
            box = Window((low, *window.low[1:]), window.size)
        with torch.inference_mode():
            whole = torch.from_numpy(there.astype(np.float32)).to(device)
            said_here = torch.from_numpy(said[box.slices()].copy()).to(device)
            answer = torch.sigmoid(network(fine_input(whole, said_here, box, settings.factor)))[0, 0]
        found = answer.float().cpu().numpy()
        answers.append(found[::-1] if mirrored else found)
    mean = (answers[0] + answers[1]) / 2
    return np.where(bone[window.slices(settings.factor)], 0, mean).astype(np.float32), window


def _grown(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask, np.ones((3, 3, 3)), iterations=2))
