"""Simulated coarse predictions: the true implant, bent and thickened at random."""

import numpy as np
import torch
from torch.nn import functional

# In voxels of the coarse grid.
MAX_BEND_VOXELS = 1.5  # upper bound of the bend's standard deviation
BEND_SPACING_VOXELS = 6  # between independent bends
MAX_DILATION_VOXELS = 2
SHARPNESS = (5.0, 14.0)  # range of the slope of the sigmoid
LEVEL_SHIFT = 0.2  # the sigmoid's level is 0.5 plus or minus up to this


def simulated_probability(implant: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Simulate a coarse network's output: an implant of another shape, more often too thick than too thin.

    Args:
        implant: (i, j, k) float32 share of each voxel that is implant.

    Returns:
        (i, j, k) float32 probability.
    """
    shape = implant.shape
    coarse = [max(2, -(-n // BEND_SPACING_VOXELS)) for n in shape]
    bends = rng.standard_normal((1, 3, *coarse), np.float32) * rng.uniform(0, MAX_BEND_VOXELS)
    bend = functional.interpolate(
        torch.from_numpy(bends).to(implant.device), size=shape, mode="trilinear", align_corners=True
    )[0]
    # In grid_sample's units of half a box, the last axis first.
    units = torch.tensor([2 / n for n in shape], device=implant.device)[:, None, None, None]
    identity = functional.affine_grid(
        torch.eye(3, 4, device=implant.device)[None], [1, 1, *shape], align_corners=False
    )
    positions = identity + (bend * units).flip(0).permute(1, 2, 3, 0)[None]
    layers = int(rng.integers(MAX_DILATION_VOXELS + 1))
    thick = functional.max_pool3d(implant[None, None], 2 * layers + 1, 1, layers)
    bent = functional.grid_sample(thick, positions, align_corners=False)[0, 0]
    level = 0.5 + rng.uniform(-LEVEL_SHIFT, LEVEL_SHIFT)
    return torch.sigmoid(rng.uniform(*SHARPNESS) * (bent - level))
