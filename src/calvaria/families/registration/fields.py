"""Displacement fields: composition, inversion, removal of folding, and warping of thin bone.

A field is a (3, x, y, z) float32 tensor in millimetres on a `Grid`. It maps a world position p to
p + field(p); a skull warped by it has at p the value of the original skull at p + field(p). Grids share
their centre, so a field may be coarser than the volumes that it warps.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from calvaria.geometry.grid import Grid
from calvaria.geometry.signed_distance import signed_depth, subvoxel_depth
from calvaria.geometry.thresholds import count_keeping_threshold


@dataclass(frozen=True)
class Skull:
    """A skull prepared for interpolation."""

    grid: Grid
    values: torch.Tensor
    """(2, x, y, z) float32: depth + ``reach_mm``, where depth is the signed distance in mm, positive in
    bone, truncated at ``reach_mm``; and the share of the voxel in bone. Both are 0 far outside."""
    reach_mm: float
    volume_ml: float


def coarser(grid: Grid, spacing_mm: float) -> Grid:
    """Return a grid with this spacing over the same extent, or the same grid if its spacing is no finer."""
    if spacing_mm <= grid.spacing_mm:
        return grid
    x, y, z = (max(2, math.ceil(extent / spacing_mm)) for extent in grid.extent_mm)
    return Grid((x, y, z), spacing_mm)


def prepare(mask: np.ndarray, grid: Grid, reach_mm: float, occupancy: np.ndarray | None = None) -> Skull:
    """Prepare a skull from its (x, y, z) mask, non-zero where there is bone.

    Args:
        occupancy: (x, y, z) uint8 share of every voxel in bone, 0 to 255, by which the depth is precise to a
            fraction of a voxel.
    """
    bone = np.ascontiguousarray(mask > 0)
    share = bone if occupancy is None else occupancy / np.float32(255)
    voxels = signed_depth(bone) if occupancy is None else subvoxel_depth(bone, share)
    depth = np.clip(voxels * grid.spacing_mm, -reach_mm, reach_mm) + reach_mm
    values = torch.from_numpy(np.stack([depth, share]).astype(np.float32))
    return Skull(grid, values, reach_mm, float(np.count_nonzero(bone) * grid.spacing_mm**3 / 1000))


def centres(grid: Grid) -> torch.Tensor:
    """Return the (x, y, z, 3) float32 world positions of a grid's voxels in mm."""
    lines = [torch.from_numpy(grid.centres(axis).astype(np.float32)) for axis in range(3)]
    return torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1)


def look_up(
    volume: torch.Tensor, grid: Grid, places_mm: torch.Tensor, outside: str = "border"
) -> torch.Tensor:
    """Return (c, ...) trilinear values of a (c, x, y, z) volume at (..., 3) world positions in mm.

    Args:
        outside: values beyond the outermost voxels: "border" repeats the outermost ones, "zeros" is 0.
    """
    half = torch.tensor([(n - 1) / 2 * grid.spacing_mm for n in grid.shape], dtype=torch.float32)
    where = (places_mm / half).flip(-1).reshape(1, 1, 1, -1, 3)
    values = functional.grid_sample(
        volume[None], where, mode="bilinear", padding_mode=outside, align_corners=True
    )
    return values.reshape(len(volume), *places_mm.shape[:-1])


def compose(first: torch.Tensor, second: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return the field that applies ``first`` and then ``second``, both on ``grid``."""
    targets = centres(grid) + first.movedim(0, -1)
    return first + look_up(second, grid, targets)


def inverse(field: torch.Tensor, grid: Grid, rounds: int = 20) -> torch.Tensor:
    """Return the inverse of a field, by fixed-point iteration (Chen et al. 2008)."""
    inverted = torch.zeros_like(field)
    for _ in range(rounds):
        inverted = -look_up(field, grid, centres(grid) + inverted.movedim(0, -1))
    return inverted


def jacobian(field: torch.Tensor, spacing_mm: float) -> torch.Tensor:
    """Return the (x - 2, y - 2, z - 2) Jacobian determinants of p + field(p), by central differences.

    A determinant of 1 preserves volume; 0 and less means folding.
    """
    rows = []
    for axis, component in enumerate(field):
        row = []
        for along in range(3):
            inner = [slice(1, -1)] * 3
            after, before = list(inner), list(inner)
            after[along], before[along] = slice(2, None), slice(None, -2)
            slope = (component[tuple(after)] - component[tuple(before)]) / (2 * spacing_mm)
            row.append(slope + 1.0 if along == axis else slope)
        rows.append(row)
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def unfold(field: torch.Tensor, spacing_mm: float, least: float = 0.02, rounds: int = 30) -> torch.Tensor:
    """Return a field that is smoothed until its Jacobian determinants are all at least ``least``.

    Only the surroundings of lower ones are smoothed; folding that remains after all rounds is left to the
    gates.
    """
    for _ in range(rounds):
        bad = jacobian(field, spacing_mm) < least
        if not bool(bad.any()):
            break
        around = functional.pad(bad[None, None].float(), (1,) * 6)
        share = functional.avg_pool3d(functional.max_pool3d(around, 5, 1, 2), 3, 1, 1)[0]
        smooth = functional.avg_pool3d(functional.pad(field[None], (1,) * 6, mode="replicate"), 3, 1)[0]
        field = field + share * (smooth - field)
    return field


def warp(skull: Skull, field: torch.Tensor, grid: Grid) -> np.ndarray:
    """Warp a skull by a field on ``grid``; the result is on the skull's grid and preserves thin bone.

    Nearest-neighbour interpolation breaks thin bone, and a fixed threshold of interpolated values erodes
    it. Instead, the signed distance is interpolated, and thresholded such that the bone volume equals the
    sum of the interpolated occupancy. Only voxels near warped bone are computed.

    Returns:
        (x, y, z) uint8, 1 where there is bone.
    """
    rough = look_up(skull.values[:1], skull.grid, centres(grid) + field.movedim(0, -1), "zeros")[0] > 0
    nearest = [
        torch.from_numpy(
            np.clip(np.rint(skull.grid.centres(axis) / grid.spacing_mm + (n - 1) / 2), 0, n - 1).astype(int)
        )
        for axis, n in enumerate(grid.shape)
    ]
    active = rough[nearest[0]][:, nearest[1]][:, :, nearest[2]]
    lines = [torch.from_numpy(skull.grid.centres(axis).astype(np.float32)) for axis in range(3)]
    voxels = active.nonzero(as_tuple=True)
    warped = np.zeros(skull.grid.shape, np.uint8)
    if not len(voxels[0]):
        return warped
    places = torch.stack([line[index] for line, index in zip(lines, voxels, strict=True)], dim=-1)
    targets = places + look_up(field, grid, places).movedim(0, -1)
    depth, occupancy = look_up(skull.values, skull.grid, targets, "zeros").numpy()
    keep = min(round(float(occupancy.sum(dtype=np.float64))), len(depth))
    if keep:
        threshold = count_keeping_threshold(depth, keep)
        warped[active.numpy()] = (depth >= threshold) & (depth > 0)
    return warped


def refine(
    skull: Skull, target: torch.Tensor, field: torch.Tensor, grid: Grid, rounds: int, width: int = 3
) -> torch.Tensor:
    """Refine a field that warps a skull to another one, by diffeomorphic demons.

    Depths are distances, so their difference is the remaining displacement of the surface along the slope.

    Args:
        target: (x, y, z) depth of the other skull on ``grid``, plus its reach, as in `Skull`.
        rounds: number of updates.
        width: voxels of the moving average that smooths an update.

    Source: Vercauteren et al. 2009, Diffeomorphic demons.
    """
    places = centres(grid)
    for _ in range(rounds):
        depth = look_up(skull.values[:1], skull.grid, places + field.movedim(0, -1), "zeros")[0]
        missing = target - depth
        slope = torch.stack(torch.gradient(depth, spacing=grid.spacing_mm))
        push = slope * (missing / ((slope * slope).sum(0) + (missing / grid.spacing_mm) ** 2).clamp(min=1e-3))
        push = smoothed(push, width)
        field = push + look_up(field, grid, places + push.movedim(0, -1))
    return field


def smoothed(field: torch.Tensor, width: int) -> torch.Tensor:
    """Return a field after two passes of a moving average over this many voxels."""
    for _ in range(2):
        padded = functional.pad(field[None], (width // 2,) * 6, mode="replicate")
        field = functional.avg_pool3d(padded, width, 1)[0]
    return field
