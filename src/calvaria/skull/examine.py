"""Examine one scan: estimate its pose, resample it to the canonical grid and report findings."""

from dataclasses import dataclass

import numpy as np

from calvaria.geometry.canonical import Canonical
from calvaria.geometry.grid import Grid
from calvaria.geometry.resample import resample_with_occupancy
from calvaria.skull.pose import Pose, find_pose
from calvaria.skull.quality import (
    ENLARGE_GRID,
    Finding,
    check_bone,
    check_box,
    check_closed,
    check_pose,
    check_size,
    check_vault,
    doubts_of,
    first_fault,
)
from calvaria.skull.vault_map import VaultPicture, anchor_height, picture_vault
from calvaria.sources import Scan


@dataclass(frozen=True)
class Head:
    """A head located in a scan (canonical axis order, centred frame); its vault may have holes."""

    findings: list[Finding]
    pose: Pose
    vault: VaultPicture


def find_head(
    canonical: Canonical, grid: Grid, top_margin_mm: float, too_large: str = ENLARGE_GRID
) -> Head | Finding:
    """Locate the head in a scan's bone and check it against a grid, or return the fault.

    Args:
        canonical: labels (x, y, z), non-zero where there is bone.
        too_large: advice on how to enlarge the grid, for the fault's message.
    """
    findings = check_bone(canonical.values, canonical.affine)
    fault = first_fault(findings)
    if fault is not None:
        return fault
    pose = find_pose(canonical.values, canonical.affine)
    vault = picture_vault(canonical.values, canonical.affine, pose.to_box(np.zeros(3)))
    # Only the first fault is reported: a wrong size fails all later checks, and objects other than
    # heads seem rotated.
    findings += check_size(pose) + check_vault(vault) + check_pose(pose)
    if first_fault(findings) is None:
        findings += check_box(vault, grid, top_margin_mm, too_large)
    return Head(findings, pose, vault)


@dataclass(frozen=True)
class Examined:
    """A scan resampled to the grid; without a head, only its fault."""

    labels: np.ndarray  # (x, y, z) uint8 on the grid; zero where there is no head
    occupancy: np.ndarray  # (x, y, z) uint8 share of every voxel in bone, 0 to 255
    fault: Finding | None
    doubts: tuple[Finding, ...] = ()
    pose: Pose | None = None  # in the scan's centred frame
    to_box: np.ndarray | None = None  # (4, 4) rigid, scan RAS+ millimetres to the grid's
    vault: VaultPicture | None = None


def examine(scan: Scan, grid: Grid, top_margin_mm: float, too_large: str = ENLARGE_GRID) -> Examined:
    """Resample a scan of a complete skull to the grid and check it; the scan's storage order has no effect.

    The head is rotated into the Frankfurt plane. The middle of its vault is placed at x = y = 0 and the top
    of its vault ``top_margin_mm`` below the top of the grid, both as located by the fitted template.

    Args:
        too_large: advice on how to enlarge the grid, for the fault's message.
    """
    canonical = Canonical.of(scan.labels, scan.affine)
    head = find_head(canonical, grid, top_margin_mm, too_large)
    if isinstance(head, Finding):
        return Examined(np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, np.uint8), head)
    findings = head.findings
    if first_fault(findings) is None:
        findings = findings + check_closed(head.vault)
    to_box = head.pose.to_box(np.array([0.0, 0.0, anchor_height(grid, top_margin_mm)]))
    return Examined(
        *resample_with_occupancy(canonical.values, canonical.affine, to_box, grid),
        first_fault(findings),
        doubts_of(findings),
        head.pose,
        canonical.from_file(to_box),
        head.vault,
    )
