"""Geometric augmentation of training cases, on the training device.

``sample_affine`` only draws, ``apply_affine`` only applies.
"""

import numpy as np
import torch
from torch.nn import functional

from calvaria.config import Geometric
from calvaria.grid import BONE, IMPLANT, Grid


def sample_affine(rng: np.random.Generator, settings: Geometric, grid: Grid) -> np.ndarray:
    """(3, 4) float32 matrix from output to input positions, both in grid_sample's units of half a box.

    Every transform is applied with the config's probability, independently of the others.
    """
    use = rng.random(4) < settings.probability
    angles = np.deg2rad(rng.uniform(-settings.rotate_deg, settings.rotate_deg, 3)) * use[0]
    shift = rng.uniform(-settings.translate_mm, settings.translate_mm, 3) * use[1]
    scale = rng.uniform(*settings.scale) if use[2] else 1.0
    mirror = -1.0 if use[3] and settings.mirror and rng.random() < 0.5 else 1.0
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        one, other = [i for i in range(3) if i != axis]
        turn[one, one] = turn[other, other] = np.cos(angle)
        turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    half_box = np.array(grid.extent_mm) / 2  # rotations are rigid in mm, not in units of an oblong box
    matrix = rotation @ np.diag([mirror, 1.0, 1.0]) / scale
    matrix = matrix * half_box[None, :] / half_box[:, None]
    return np.concatenate([matrix, (shift / half_box)[:, None]], axis=1).astype(np.float32)


def apply_affine(labels: torch.Tensor, matrices: np.ndarray) -> torch.Tensor:
    """Moves cases (n, x, y, z) uint8 by their (n, 3, 4) matrices and keeps skull and implant disjoint.

    Bone is interpolated as occupancy, and each case's threshold is chosen so that the interpolated
    bone volume is kept: nearest neighbour would tear thin bone, one half would eat it.
    """
    # grid_sample names the last axis first, so the matrix is turned round with the axes.
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
