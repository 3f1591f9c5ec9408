"""Draws the implant anew on a finer grid, only where the first network found a defect.

The fine grid has ``factor`` cubed voxels in each voxel of the run's grid. What the first network found says
in which directions bone is missing, and nothing else: across them the vault's surfaces are bridged. The fine
network sees the remaining bone, its mirror image, the bridge and the directions, and mends the bridge.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from calvaria import seeds
from calvaria.config import Config, Refine
from calvaria.geometry.grid import Grid
from calvaria.reconstruction.coarse.inference import grown
from calvaria.reconstruction.coarse.network import FIRST_LOGIT, ReconstructionNetwork
from calvaria.reconstruction.fine.interpolation import bridge, hole_around, picture_bridge, seen_from_inside
from calvaria.skull.vault_map import VaultPicture, picture_vault
from calvaria.training.device import seeded

INPUTS = 4
SURFACES = "surfaces"  # name of the training skulls' surfaces beside the weights
BRIDGE = 6.0  # logits of an implant deep in the bridge, before the network has learned anything
SAID = 0.2  # probability from which a voxel's direction is taken for hole


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


def fine_input(bone: torch.Tensor, bridged: torch.Tensor, window: Window, factor: int) -> torch.Tensor:
    """What the fine network sees of one skull.

    Args:
        bone: (x, y, z) float32 on the whole fine grid, 1.0 where there is bone.
        bridged: (2, x, y, z) float32 of the window on the fine grid, as of ``picture_bridge``.

    Returns:
        (1, 4, x, y, z) of the window: bone, mirrored bone, depth in the bridge, directions of the hole.
    """
    part = window.slices(factor)
    return torch.cat([bone[part][None], bone.flip(0)[part][None], bridged])[None]


def fine_logits(network: ReconstructionNetwork, seen: torch.Tensor) -> torch.Tensor:
    """(n, 1, x, y, z) logits of the implant: the bridge across the hole, and what the network adds to it."""
    depth, missing = seen[:, 2:3], seen[:, 3:4]
    return network(seen) - FIRST_LOGIT + BRIDGE * torch.minimum(depth, 2 * missing - 1)


def picture_skull(mask: np.ndarray, grid: Grid, anchor_mm: float) -> VaultPicture:
    """The vault of a mask (x, y, z) on a grid, with its anchor at that height in the box."""
    to_head = np.eye(4)
    to_head[2, 3] = -anchor_mm
    return picture_vault(mask, grid.affine, to_head)


@dataclass(frozen=True)
class Frame:
    """Where windows lie, and what is needed to bridge a vault there."""

    settings: Refine
    grid: Grid  # the run's
    anchor_mm: float  # height of the vault's anchor in the box

    @classmethod
    def of(cls, config: Config) -> "Frame":
        """That of a config with a section ``refine``."""
        assert config.refine is not None
        grid = config.grid.voxels()
        return cls(config.refine, grid, grid.extent_mm[2] / 2 - config.ingest.top_margin_mm)

    @property
    def fine(self) -> Grid:
        return fine_grid(self.grid, self.settings.factor)

    def bridged(
        self, vault: VaultPicture, missing: np.ndarray, known: np.ndarray, window: Window
    ) -> np.ndarray:
        """A vault with its hole bridged, as ``picture_bridge`` shows it on the window's fine voxels.

        The hole is where bone may be missing, and where no bone is seen.

        Args:
            missing: (i, j, k) bool on the window of the run's grid: where bone may be missing.
            known: the surfaces of training skulls, (n, 2, p).
        """
        hole = seen_from_inside(missing, window.low, self.grid, self.anchor_mm) | (vault.outer_mm == 0)
        hole = hole_around(hole)
        whole = bridge(vault, hole, known)
        low, size = ([n * self.settings.factor for n in part] for part in (window.low, window.size))
        return picture_bridge(whole, hole, low, size, self.fine, self.anchor_mm)


def new_fine_network(config: Config) -> ReconstructionNetwork:
    """An untrained network of the config's size."""
    assert config.refine is not None
    with seeded(seeds.torch_generator(config.seed, "refine", "weights")):
        return ReconstructionNetwork(INPUTS, config.refine.patch, config.refine.channels)


@dataclass(frozen=True)
class Refiner:
    """A trained fine network and how it is used."""

    network: ReconstructionNetwork  # in evaluation mode
    known: np.ndarray  # (n, 2, p) surfaces of the training skulls
    frame: Frame


def refined(
    refiner: Refiner, probability: np.ndarray, implant: np.ndarray, bone: np.ndarray
) -> tuple[np.ndarray, Window]:
    """The implant's probability on the fine window, the mean for the skull and its mirror image.

    Args:
        probability: (i, j, k) float32 of the implant on the run's grid.
        implant: (i, j, k) bool, what was found; not empty.
        bone: (x, y, z) bool on the fine grid, the remaining bone.

    Returns:
        (x, y, z) float32 probability of implant, 0 in bone; and the window.
    """
    frame = refiner.frame
    device = next(refiner.network.parameters()).device
    window = window_around(implant, frame.settings, frame.grid)
    # Only the piece that was found counts.
    missing = grown(implant, 2) & (probability > SAID)
    seen = both_inputs(bone, missing, window, refiner.known, frame).to(device)
    with torch.inference_mode():
        answers = torch.sigmoid(fine_logits(refiner.network, seen))[:, 0].float().cpu()
    mean = ((answers[0] + answers[1].flip(0)) / 2).numpy()
    return np.where(bone[window.slices(frame.settings.factor)], 0, mean).astype(np.float32), window


def both_inputs(
    bone: np.ndarray, missing: np.ndarray, window: Window, known: np.ndarray, frame: Frame
) -> torch.Tensor:
    """(2, 4, x, y, z) what the fine network sees of a skull, and of its mirror image.

    Args:
        bone: (x, y, z) bool on the fine grid, the remaining bone.
        missing: (i, j, k) bool on the run's grid, where bone may be missing.
        known: (n, 2, p) surfaces of training skulls.
    """
    vault = picture_skull(bone.view(np.uint8), frame.fine, frame.anchor_mm)
    bridged = torch.from_numpy(frame.bridged(vault, missing[window.slices()], known, window))
    low = frame.grid.shape[0] - window.low[0] - window.size[0]
    mirrored = Window((low, *window.low[1:]), window.size)
    whole, factor = torch.from_numpy(bone.astype(np.float32)), frame.settings.factor
    sides = ((whole, bridged, window), (whole.flip(0), bridged.flip(1), mirrored))
    return torch.cat([fine_input(*side, factor) for side in sides])
