"""Reconstruction error of an autoencoder on held-out skulls."""

import math
from dataclasses import dataclass

import numpy as np

from calvaria.geometry.components import bounding_box
from calvaria.geometry.grid import Grid
from calvaria.geometry.overlap import dice
from calvaria.metrics.borders import border_points, nearest_mm
from calvaria.skull.measures import vault_map


@dataclass(frozen=True)
class Rebuilt:
    """Errors of the reconstruction of one skull."""

    dice: float
    surface95_voxels: (
        float  # 95th percentile of the pooled distances between the surfaces; inf if one is empty
    )
    surface_mm: float  # mean of these distances
    thickness_mm: float  # mean absolute difference of the vault's thickness along its rays


def compare(rebuilt: np.ndarray, original: np.ndarray, grid: Grid) -> Rebuilt:
    """Compare a reconstruction with its original, (x, y, z) non-zero where there is bone."""
    a, b = rebuilt > 0, original > 0
    boxes = bounding_box(a), bounding_box(b)
    if boxes[0] is None or boxes[1] is None:
        return Rebuilt(0.0, math.inf, math.inf, math.inf)
    points = border_points(a, boxes[0]), border_points(b, boxes[1])
    spacing = (grid.spacing_mm,) * 3
    distances = np.concatenate([nearest_mm(*points, spacing), nearest_mm(*points[::-1], spacing)])
    thickness = [vault_map(mask.astype(np.uint8), grid).thickness_mm for mask in (a, b)]
    return Rebuilt(
        dice=dice(a, b),
        surface95_voxels=float(np.percentile(distances, 95)) / grid.spacing_mm,
        surface_mm=float(distances.mean()),
        thickness_mm=float(np.abs(thickness[0] - thickness[1]).mean()),
    )
