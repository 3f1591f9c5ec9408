"""Examines one scan: finds its pose, brings it to the canonical grid and says what is wrong with it."""

from dataclasses import dataclass

import numpy as np

from calvaria.conform.pose import Pose, find_pose
from calvaria.conform.quality import Fault, check_bone, check_box, check_pose, check_vault
from calvaria.conform.resample import resample
from calvaria.conform.vault import VaultPicture, picture_vault
from calvaria.grid import Grid
from calvaria.sources import Scan


@dataclass(frozen=True)
class Examined:
    """What was found; of a scan without a head in it only the fault."""

    labels: np.ndarray  # (x, y, z) uint8 on the grid; zero where there is no head
    fault: Fault | None
    pose: Pose | None = None
    to_box: np.ndarray | None = None  # (4, 4) rigid, scan RAS+ millimetres to the box's
    vault: VaultPicture | None = None


def examine(scan: Scan, grid: Grid, top_margin_mm: float) -> Examined:
    """Looks at a scan and conforms it; the first fault that is found counts.

    The head is turned into the Frankfurt plane; the middle of its vault lies at x = y = 0, the vault's top
    ``top_margin_mm`` below the top of the box, both as the fitted template has them.
    """
    fault = check_bone(scan.labels, scan.affine)
    if fault is not None:
        return Examined(np.zeros(grid.shape, np.uint8), fault)
    pose = find_pose(scan.labels, scan.affine)
    to_box = pose.to_box(np.array([0.0, 0.0, grid.extent_mm[2] / 2 - top_margin_mm]))
    vault = picture_vault(scan.labels, scan.affine, pose.to_box(np.zeros(3)))
    fault = check_pose(pose) or check_vault(vault) or check_box(vault, grid, top_margin_mm)
    return Examined(resample(scan.labels, scan.affine, to_box, grid), fault, pose, to_box, vault)
