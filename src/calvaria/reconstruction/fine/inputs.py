"""Inputs of the fine network: remaining bone, mirrored bone, and the interpolated vault.

The fine grid has ``factor`` cubed voxels in each voxel of the coarse grid. The coarse prediction only
contributes the directions in which bone may be missing; the vault's surfaces are interpolated across them.
"""

from dataclasses import dataclass

import numpy as np
import torch

from calvaria.config import Config, Refine
from calvaria.geometry.grid import Grid
from calvaria.reconstruction.fine.interpolation import (
    DEFAULT_PROCESS,
    GaussianProcess,
    add_rim,
    depth_channels,
    directions_of,
    interpolate,
)
from calvaria.reconstruction.fine.window import Window, fine_grid
from calvaria.skull.vault_map import VaultPicture, picture_vault

CHANNELS = 4


@dataclass(frozen=True)
class Frame:
    """The two grids, and the position of the vault's anchor in them."""

    settings: Refine
    grid: Grid  # the coarse, canonical one
    anchor_mm: float  # height of the vault's anchor in the box

    @classmethod
    def of(cls, config: Config) -> "Frame":
        """Return the frame of a config with a section ``refine``."""
        assert config.refine is not None
        grid = config.grid.voxels()
        return cls(config.refine, grid, grid.extent_mm[2] / 2 - config.ingest.top_margin_mm)

    @property
    def fine(self) -> Grid:
        """The fine grid."""
        return fine_grid(self.grid, self.settings.factor)

    def vault_image(self, mask: np.ndarray) -> VaultPicture:
        """Return the vault of a mask (x, y, z) bool or uint8 on the fine grid."""
        to_head = np.eye(4)
        to_head[2, 3] = -self.anchor_mm
        return picture_vault(mask.view(np.uint8), self.fine.affine, to_head)

    def interpolated(
        self,
        vault: VaultPicture,
        missing: np.ndarray,
        known: np.ndarray,
        window: Window,
        process: GaussianProcess = DEFAULT_PROCESS,
    ) -> np.ndarray:
        """Interpolate a vault across its hole and return ``depth_channels`` of the window.

        The hole is where bone may be missing, and where none is observed.

        Args:
            missing: (i, j, k) bool on the window of the coarse grid, where bone may be missing.
            known: (n, 2, p) surfaces of training skulls.

        Returns:
            (2, x, y, z) float32 on the window of the fine grid.
        """
        directions = directions_of(missing, window.low, self.grid, self.anchor_mm)
        hole = add_rim(directions | (vault.outer_mm == 0))
        whole = interpolate(vault, hole, known, process)
        low, size = ([n * self.settings.factor for n in part] for part in (window.low, window.size))
        return depth_channels(whole, hole, low, size, self.fine, self.anchor_mm)


def fine_input(bone: torch.Tensor, depth: torch.Tensor, window: Window, factor: int) -> torch.Tensor:
    """Assemble the input of one skull.

    Args:
        bone: (x, y, z) float32 on the whole fine grid, 1.0 in bone.
        depth: (2, x, y, z) float32 on the window of the fine grid, as returned by ``depth_channels``.

    Returns:
        (1, 4, x, y, z) on the window: bone, mirrored bone, depth in the vault, directions of the hole.
    """
    part = window.slices(factor)
    return torch.cat([bone[part][None], bone.flip(0)[part][None], depth])[None]


def flipped_inputs(
    bone: np.ndarray, missing: np.ndarray, window: Window, known: np.ndarray, frame: Frame
) -> torch.Tensor:
    """Assemble the inputs (2, 4, x, y, z) of a skull and of its mirror image.

    Args:
        bone: (x, y, z) bool on the fine grid, the remaining bone.
        missing: (i, j, k) bool on the coarse grid, where bone may be missing.
        known: (n, 2, p) surfaces of training skulls.
    """
    vault = frame.vault_image(bone)
    depth = torch.from_numpy(frame.interpolated(vault, missing[window.slices()], known, window))
    low = frame.grid.shape[0] - window.low[0] - window.size[0]
    mirrored = Window((low, *window.low[1:]), window.size)
    whole, factor = torch.from_numpy(bone.astype(np.float32)), frame.settings.factor
    sides = ((whole, depth, window), (whole.flip(0), depth.flip(1), mirrored))
    return torch.cat([fine_input(*side, factor) for side in sides])
