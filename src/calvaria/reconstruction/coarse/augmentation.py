"""Geometric augmentation of training cases, on the training device.

``sample_change`` only draws, ``apply_changes`` only applies.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from calvaria.config import Geometric
from calvaria.geometry.grid import BACKGROUND, BONE, IMPLANT, Grid

AXES = "xyz"


@dataclass(frozen=True)
class Change:
    """The parameters of one case's augmentation."""

    matrix: np.ndarray  # (3, 4) float32, output to input positions, both in grid_sample's units of half a box
    low: tuple[int, int, int]  # voxels below low, or from high on, are cut off
    high: tuple[int, int, int]
    edge_noise: float  # probability that a voxel at the remaining bone's surface changes
    noise_seed: int


def sample_change(rng: np.random.Generator, settings: Geometric, grid: Grid) -> Change:
    """Draw one change; each transform is applied independently with the configured probability."""
    use = rng.random(6) < settings.probability
    angles = np.deg2rad(rng.uniform(-settings.rotate_deg, settings.rotate_deg, 3)) * use[0]
    reach = settings.translate_voxels * grid.spacing_mm
    shift = rng.uniform(-reach, reach, 3) * use[1]
    scale = rng.uniform(*settings.scale) if use[2] else 1.0
    mirrored = (rng.random(3) < 0.5) & use[3] & [axis in settings.flips for axis in AXES]
    low, high = [0, 0, 0], list(grid.shape)
    side, axis, part = int(rng.integers(2)), int(rng.integers(3)), rng.uniform(0, settings.crop)
    cut = round(part * grid.shape[axis]) if use[4] else 0
    if side:
        high[axis] -= cut
    else:
        low[axis] += cut
    rotation = np.eye(3)
    for turned, angle in enumerate(angles):
        turn = np.eye(3)
        one, other = [i for i in range(3) if i != turned]
        turn[one, one] = turn[other, other] = np.cos(angle)
        turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    half_box = np.array(grid.extent_mm) / 2  # rotations are rigid in mm, not in units of an oblong box
    matrix = rotation @ np.diag(np.where(mirrored, -1.0, 1.0)) / scale
    matrix = matrix * half_box[None, :] / half_box[:, None]
    return Change(
        matrix=np.concatenate([matrix, (shift / half_box)[:, None]], axis=1).astype(np.float32),
        low=(low[0], low[1], low[2]),
        high=(high[0], high[1], high[2]),
        edge_noise=settings.edge_noise if use[5] else 0.0,
        noise_seed=int(rng.integers(2**62)),
    )


def apply_changes(labels: torch.Tensor, changes: list[Change]) -> torch.Tensor:
    """Augment cases (n, x, y, z) uint8, one change each; skull and implant stay disjoint."""
    moved = _move(labels, np.stack([change.matrix for change in changes]))
    for case, change in zip(moved, changes, strict=True):
        inside = torch.zeros_like(case, dtype=torch.bool)
        inside[tuple(slice(a, b) for a, b in zip(change.low, change.high, strict=True))] = True
        case[~inside] = BACKGROUND
        if change.edge_noise:
            case.copy_(_noisy(case, change))
    return moved


def _move(labels: torch.Tensor, matrices: np.ndarray) -> torch.Tensor:
    """Transform cases by their (n, 3, 4) matrices.

    Bone is interpolated as occupancy, and each case's threshold is chosen to preserve the interpolated
    bone volume: nearest-neighbour sampling would break up thin bone, and a threshold of 0.5 would erode it.
    """
    # grid_sample expects the last axis first, so the axes of the matrix are reversed, too.
    flipped = np.concatenate([matrices[:, ::-1, 2::-1], matrices[:, ::-1, 3:]], axis=2)
    theta = torch.from_numpy(np.ascontiguousarray(flipped)).to(labels.device)
    both = torch.stack([(labels > 0).float(), (labels == IMPLANT).float()], dim=1)
    where = functional.affine_grid(theta, list(both.shape), align_corners=False)
    skull, implant = functional.grid_sample(both, where, align_corners=False).unbind(1)
    keep = torch.zeros_like(labels, dtype=torch.bool)
    for case, occupancy in enumerate(skull):
        voxels = int(occupancy.sum().round())
        if voxels:
            keep[case] = occupancy >= occupancy.flatten().topk(voxels).values[-1]
    return torch.where(keep, torch.where(2 * implant >= skull, IMPLANT, BONE), 0).to(torch.uint8)


def _noisy(case: torch.Tensor, change: Change) -> torch.Tensor:
    """Roughen the surface of the remaining bone of a case (x, y, z); leave the implant's voxels unchanged."""
    bone = (case == BONE).float()[None, None]
    grown = functional.max_pool3d(bone, 3, 1, 1)[0, 0] > 0
    shrunk = -functional.max_pool3d(-bone, 3, 1, 1)[0, 0] > 0
    rng = torch.Generator(case.device).manual_seed(change.noise_seed)
    chosen = torch.rand(case.shape, generator=rng, device=case.device) < change.edge_noise
    chosen &= grown & ~shrunk & (case != IMPLANT)
    return torch.where(chosen, torch.where(case == BONE, BACKGROUND, BONE), case.long()).to(torch.uint8)
