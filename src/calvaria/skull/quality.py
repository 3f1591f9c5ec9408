"""Quality checks of a skull: faults, which make it unusable, and doubts, which are merely unusual.

A fault stops a reconstruction and excludes a skull from a run. With a doubt, a reconstruction continues
with a warning, and a run excludes the skull unless ``ingest.accept`` names it. benchmarks/ingest.md lists
how many real heads exceed each limit.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from calvaria.geometry.components import largest_component
from calvaria.geometry.grid import Grid
from calvaria.skull.pose import Pose
from calvaria.skull.vault_map import (
    CENTRE_MM,
    VaultPicture,
    anchor_height,
    directions,
    inside_cone,
    pixel_area,
)

# Faults
SPAN_MM = (110.0, 600.0)  # of the bone along the scan's axis of greatest extent; shoulders are widest
SKULL_RESIDUAL_MM = 2.8  # mean distance of the bone's surface to the template's; above, it is not a skull
LEAST_COVERED = 0.3  # share of the template's vault, of each surface, that the bone covers
POSSIBLE_SIZES = (0.65, 1.5)  # of a head relative to the template; outside, the spacing is wrong
SOLID_MM = 40.0  # median thickness of the vault; above, the cavity is filled
LEAST_VAULT = 0.3  # share of the vault with bone
DEFECT_CM2 = 2.5  # a single larger hole is a defect

# Doubts
LARGEST_PIECE = 0.6  # share of the largest component; a lower jaw is separate, a torn skull in many parts
RESIDUAL_MM = 1.6
SIZES = (0.75, 1.3)
THICKNESS_MM = (1.5, 14.0)
OPEN_CM2 = 4.0  # total area of smaller holes
CUT_CM2 = 2.5  # area of the vault outside the field of view

PIECE_SPACING_MM = 0.9  # components are computed at no finer spacing, to bound the memory
SHORT_MM = 2.0  # a ray that leaves the scan this far before the vault is cut off by the field of view
TOUCH_MM = 0.5  # bone this close to the end of its ray is cut off there
ENLARGE_GRID = "enlarge grid.shape, grid.spacing_mm or, along z, ingest.top_margin_mm"


@dataclass(frozen=True)
class Finding:
    """A fault or doubt of a skull."""

    severity: Literal["fault", "doubt"]
    verdict: str  # one or two words, for tables
    reason: str  # what was measured, what is expected, what to do

    def __str__(self) -> str:
        return f"{self.verdict}: {self.reason}"


def first_fault(findings: list[Finding]) -> Finding | None:
    """Return the first fault, if there is one."""
    return next((one for one in findings if one.severity == "fault"), None)


def doubts_of(findings: list[Finding]) -> tuple[Finding, ...]:
    """Return all doubts."""
    return tuple(one for one in findings if one.severity == "doubt")


def check_bone(labels: np.ndarray, affine: np.ndarray) -> list[Finding]:
    """Check a scan's bone, (i, j, k) non-zero, before any other step."""
    if not labels.any():
        return [Finding("fault", "empty", "there is no bone in it; segment it again, or leave it out")]
    span = bone_span(labels, affine)
    if not SPAN_MM[0] <= span.max() <= SPAN_MM[1]:
        lengths = " x ".join(f"{length:.3g}" for length in span)
        reason = (
            f"its bone spans {lengths} mm, expected {SPAN_MM[0]:.0f} to {SPAN_MM[1]:.0f} mm along the "
            "longest axis; check the header's spacing and its unit"
        )
        return [Finding("fault", "size", reason)]
    share = largest_share(labels, affine)
    if share < LARGEST_PIECE:
        reason = (
            f"its largest piece has {share:.0%} of the bone, usual is at least {LARGEST_PIECE:.0%}; "
            "a lower threshold may join the pieces"
        )
        return [Finding("doubt", "fragmented", reason)]
    return []


def bone_span(labels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return the extent of bone along the scan's axes, (3,) mm, for labels (i, j, k) with some bone."""
    used = [np.flatnonzero(labels.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    voxels = np.array([found[-1] - found[0] + 1 for found in used])
    return voxels * np.linalg.norm(affine[:3, :3], axis=0)


def largest_share(labels: np.ndarray, affine: np.ndarray) -> float:
    """Return the share of the bone of labels (i, j, k) in its largest component."""
    steps = np.maximum(1, np.floor(PIECE_SPACING_MM / np.linalg.norm(affine[:3, :3], axis=0))).astype(int)
    coarse = labels[:: steps[0], :: steps[1], :: steps[2]] > 0
    bone = np.count_nonzero(coarse)
    return float(np.count_nonzero(largest_component(coarse)) / bone) if bone else 0.0


def check_size(pose: Pose) -> list[Finding]:
    """Check the size of the head."""
    width, length, height = pose.size
    size = (
        f"the head is {width:.2f} times as wide, {length:.2f} times as long and {height:.2f} times as high "
        "as the mean adult's"
    )
    remedy = "check the header's spacing, and that it shows a head"
    if not _within(pose.size, POSSIBLE_SIZES):
        low, high = POSSIBLE_SIZES
        return [Finding("fault", "size", f"{size}, expected {low:g} to {high:g} times; {remedy}")]
    if not _within(pose.size, SIZES):
        low, high = SIZES
        return [Finding("doubt", "size", f"{size}, usual is {low:g} to {high:g} times; {remedy}")]
    return []


def _within(sizes: np.ndarray, limits: tuple[float, float]) -> bool:
    return bool(limits[0] <= sizes.min() and sizes.max() <= limits[1])


def check_pose(pose: Pose) -> list[Finding]:
    """Check how well the template fits, and the orientation of the head."""
    findings = []
    distance = f"its surface is {pose.residual_mm:.1f} mm from a skull's on average"
    if pose.residual_mm > SKULL_RESIDUAL_MM:
        reason = f"{distance}, expected at most {SKULL_RESIDUAL_MM:g} mm; check that it shows a head"
        findings.append(Finding("fault", "not a skull", reason))
    elif pose.coverage < LEAST_COVERED:
        reason = (
            f"it covers {pose.coverage:.0%} of a skull's vault, expected at least {LEAST_COVERED:.0%}; "
            "check that it shows the upper half of a head, with all of its bone"
        )
        findings.append(Finding("fault", "not a skull", reason))
    elif pose.residual_mm > RESIDUAL_MM:
        reason = f"{distance}, usual is at most {RESIDUAL_MM:g} mm; check that it shows a head"
        findings.append(Finding("doubt", "unlike a skull", reason))
    if not pose.upright:
        reason = (
            "a skull fits best with mirrored or exchanged axes, expected the header's; check the header's "
            "directions, which also tell left from right, and that the top of the head is in it"
        )
        findings.append(Finding("fault", "orientation", reason))
    return findings


def check_vault(vault: VaultPicture) -> list[Finding]:
    """Check the visible part of a vault, which may have holes."""
    share = vault_share(vault)
    if share < LEAST_VAULT:
        reason = (
            f"{share:.0%} of a vault can be seen in it, expected at least {LEAST_VAULT:.0%}; "
            "check that it shows the upper half of a head, and all of its bone"
        )
        return [Finding("fault", "not a skull", reason)]
    findings = []
    thickness = vault_thickness(vault)
    if thickness > SOLID_MM:
        reason = f"its vault is {thickness:.0f} mm thick, so its cavity is filled; segment the bone alone"
        findings.append(Finding("fault", "thickness", reason))
    elif not THICKNESS_MM[0] <= thickness <= THICKNESS_MM[1]:
        reason = (
            f"its vault is {thickness:.1f} mm thick, usual is {THICKNESS_MM[0]:g} to {THICKNESS_MM[1]:g} mm; "
            "check the segmentation, or the threshold"
        )
        findings.append(Finding("doubt", "thickness", reason))
    cut = hole_areas(vault).cut_cm2
    if cut > CUT_CM2:
        reason = f"{cut:.0f} cm2 of the vault lie outside of its field of view; nothing is known of them"
        findings.append(Finding("doubt", "vault cut off", reason))
    return findings


def check_closed(vault: VaultPicture) -> list[Finding]:
    """Check that the vault of a complete skull has no holes."""
    areas = hole_areas(vault)
    if areas.largest_cm2 > DEFECT_CM2:
        reason = (
            f"its vault has a hole of {areas.largest_cm2:.0f} cm2 and no implant that fills it; "
            "leave it out, or give its implant as label 2"
        )
        return [Finding("fault", "defective", reason)]
    if areas.all_cm2 > OPEN_CM2:
        reason = (
            f"its vault has holes of {areas.all_cm2:.1f} cm2 together, usual is at most {OPEN_CM2:g} cm2; "
            "segment it with a lower threshold"
        )
        return [Finding("doubt", "vault open", reason)]
    return []


def vault_share(vault: VaultPicture) -> float:
    """Return the share of the cone, by solid angle, with bone."""
    cone, area = inside_cone(), pixel_area()
    return float(area[cone & (vault.outer_mm > 0)].sum() / area[cone].sum())


def vault_thickness(vault: VaultPicture) -> float:
    """Return the median thickness in mm of a vault with some bone."""
    return float(np.median(vault.thickness_mm[inside_cone() & (vault.outer_mm > 0)]))


def check_box(
    vault: VaultPicture, grid: Grid, top_margin_mm: float, remedy: str = ENLARGE_GRID
) -> list[Finding]:
    """Check that the vault fits into the grid in which its anchor is placed.

    Args:
        remedy: advice on how to enlarge the grid, for the fault's message.
    """
    met = inside_cone() & (vault.outer_mm > 0)
    points = np.array(CENTRE_MM) + directions()[met] * vault.outer_mm[met][:, None]
    points[:, 2] += anchor_height(grid, top_margin_mm)
    beyond = np.abs(points).max(axis=0) - np.array(grid.extent_mm) / 2
    if beyond.max() <= 0:
        return []
    axis = int(beyond.argmax())
    reason = f"its vault reaches {beyond[axis]:.0f} mm beyond the grid along {'xyz'[axis]}; {remedy}"
    return [Finding("fault", "too large", reason)]


@dataclass(frozen=True)
class Holes:
    """Areas of a vault's holes."""

    all_cm2: float  # in view
    largest_cm2: float  # in view
    cut_cm2: float  # where rays leave the scan before they could meet bone


def hole_areas(vault: VaultPicture) -> Holes:
    """Measure the holes of a vault with some bone; the radius in a hole is that of the nearest bone."""
    from scipy.ndimage import distance_transform_edt, label

    closed = vault.outer_mm > 0
    nearest = tuple(distance_transform_edt(~closed, return_distances=False, return_indices=True))
    outer = vault.outer_mm[nearest]
    area = pixel_area() * outer**2 / 100
    holes = inside_cone() & ~closed
    # Where the field of view ends in the vault, the bone beside the hole extends to the border of the scan.
    at_border = outer > vault.exit_mm[nearest] - TOUCH_MM
    cut = holes & ((vault.exit_mm < outer - SHORT_MM) | at_border)
    in_view = holes & ~cut
    numbered, count = label(in_view, np.ones((3, 3)))
    each = np.bincount(numbered.ravel(), weights=area.ravel(), minlength=count + 1)[1:]
    return Holes(float(each.sum()), float(each.max(initial=0)), float(area[cut].sum()))
