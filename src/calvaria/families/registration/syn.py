"""Registration of two skulls with ANTs: affine, then SyN, with fields in both directions.

ANTs is bit-reproducible only with one ITK thread and ``ANTS_RANDOM_SEED`` set before its import, so
parallelism comes from jobs. Coordinates need no conversion: origin and spacing of the images are those of
the canonical frame, with identity directions.

Source: Avants et al. 2008, Symmetric diffeomorphic image registration with cross-correlation.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calvaria.families.registration.fields import Skull, centres, look_up, unfold
from calvaria.geometry.grid import Grid

AFFINE_ITERATIONS = (100, 50, 0)  # few, as skulls are already aligned by pose


def import_ants(seed: int) -> Any:
    """Import ANTs with the settings for reproducible results."""
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    os.environ["ANTS_RANDOM_SEED"] = str(seed % 2**31 or 1)  # 0 seeds ANTs from the clock
    import ants

    return ants


def image(skull: Skull, grid: Grid) -> np.ndarray:
    """Return the image for ANTs: (x, y, z) float32 depth in bone in mm on the fields' grid, truncated."""
    values = skull.values[:1]
    ratio = grid.spacing_mm / skull.grid.spacing_mm
    if ratio > 1.5:  # smooth before downsampling
        width = 2 * round(ratio / 2) + 1
        values = torch.nn.functional.avg_pool3d(values[None], width, 1, width // 2, count_include_pad=False)[
            0
        ]
    return (look_up(values, skull.grid, centres(grid))[0] - skull.reach_mm).numpy()


def register(
    ants: Any, target: np.ndarray, moving: np.ndarray, grid: Grid, iterations: tuple[int, ...], step: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the fields that warp moving to target, and target to moving.

    Args:
        target: (x, y, z) float32 on ``grid``, from `image`; ``moving`` likewise.
        iterations: of SyN per level, coarse to fine; each level halves the spacing, the last is the grid's.
        step: SyN's gradient step.

    Raises:
        RuntimeError: if ANTs fails.
    """
    origin = tuple(float(grid.centres(axis)[0]) for axis in range(3))
    fixed, other = (
        ants.from_numpy(np.ascontiguousarray(depth), origin=origin, spacing=(grid.spacing_mm,) * 3)
        for depth in (target, moving)
    )
    with tempfile.TemporaryDirectory() as scratch:
        registered = ants.registration(
            fixed,
            other,
            type_of_transform="SyN",
            initial_transform="Identity",
            aff_metric="meansquares",
            aff_iterations=AFFINE_ITERATIONS,
            aff_shrink_factors=(4, 2, 1),
            aff_smoothing_sigmas=(2, 1, 0),
            syn_metric="meansquares",
            reg_iterations=iterations,
            grad_step=step,
            outprefix=str(Path(scratch) / "pair-"),
        )
        forward_file, affine_file = registered["fwdtransforms"]
        inverse_file = registered["invtransforms"][-1]
        forward, inverse = (
            torch.from_numpy(np.moveaxis(ants.image_read(path).numpy(), -1, 0).astype(np.float32))
            for path in (forward_file, inverse_file)
        )
        affine = ants.read_transform(affine_file)
        matrix = np.array(affine.parameters[:9], np.float64).reshape(3, 3)
        centre = np.array(affine.fixed_parameters, np.float64)
        offset = np.array(affine.parameters[9:12], np.float64) + centre - matrix @ centre
    forward = unfold(forward, grid.spacing_mm)
    places = centres(grid)
    # Forward: SyN's field, then the affine map. Inverse: the inverse affine map, then SyN's inverse field.
    forward = _affine(places + forward.movedim(0, -1), matrix, offset) - places
    undone = _affine(places, np.linalg.inv(matrix), -np.linalg.inv(matrix) @ offset)
    inverse = undone + look_up(unfold(inverse, grid.spacing_mm), grid, undone).movedim(0, -1) - places
    return unfold(forward.movedim(-1, 0), grid.spacing_mm), unfold(inverse.movedim(-1, 0), grid.spacing_mm)


def _affine(places: torch.Tensor, matrix: np.ndarray, offset: np.ndarray) -> torch.Tensor:
    """Return (..., 3) positions after an affine map."""
    return places @ torch.from_numpy(matrix.T.astype(np.float32)) + torch.from_numpy(
        offset.astype(np.float32)
    )
