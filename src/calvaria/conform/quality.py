"""What can be wrong with a skull, and how it is told.

The limits are wide around the 75 real skulls of the SkullFix training set that they were looked at with:
there template residuals run from 1.8 to 2.4 mm, sizes from 0.88 to 1.13, and the largest hole of a vault is
0.2 cm2, against 36 cm2 and more once the implant is taken out.
"""

from dataclasses import dataclass

import numpy as np

from calvaria.conform.pose import Pose
from calvaria.conform.vault import CENTRE_MM, VaultPicture, directions, inside_cone, pixel_area
from calvaria.grid import Grid

SPAN_MM = (110.0, 450.0)  # of the bone along the scan's axis in which it is longest
LARGEST_PIECE = 0.6  # of the bone; a lower jaw hangs loose, a torn skull is in many pieces
PIECE_SPACING_MM = 0.9  # pieces are looked for at no finer spacing, to bound the memory
SIZES = (0.75, 1.3)  # of a head relative to the template
RESIDUAL_MM = 3.5
THICKNESS_MM = (1.5, 20.0)  # median over the vault
DEFECT_CM2 = 2.5  # a single hole of that area is a defect
OPEN_CM2 = 4.0  # smaller holes together
SHORT_MM = 2.0  # a ray that leaves the scan so much before the vault was cut off by the field of view


@dataclass(frozen=True)
class Fault:
    """Why a skull is left out."""

    verdict: str  # one or two words, for tables
    reason: str  # what was found, what was wanted, what to do


def check_bone(labels: np.ndarray, affine: np.ndarray) -> Fault | None:
    """Looks at a scan's bone, (i, j, k) non-zero, before anything else is done with it."""
    if not labels.any():
        return Fault("empty", "there is no bone in it; segment it again, or leave it out")
    span = _span(labels, affine)
    if not SPAN_MM[0] <= span.max() <= SPAN_MM[1]:
        return Fault(
            "size",
            f"its bone spans {' x '.join(f'{length:.3g}' for length in span)} mm, wanted {SPAN_MM[0]:.0f} to "
            f"{SPAN_MM[1]:.0f} mm along the longest axis; check the header's spacing and its unit",
        )
    share = _largest_piece(labels, affine)
    if share < LARGEST_PIECE:
        return Fault(
            "fragmented",
            f"its largest piece has {share:.0%} of the bone, wanted {LARGEST_PIECE:.0%}; "
            f"segment it with a lower threshold, or leave it out",
        )
    return None


def _span(labels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """(3,) mm along the scan's own axes."""
    used = [np.flatnonzero(labels.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    voxels = np.array([found[-1] - found[0] + 1 for found in used])
    return voxels * np.linalg.norm(affine[:3, :3], axis=0)


def _largest_piece(labels: np.ndarray, affine: np.ndarray) -> float:
    import cc3d

    steps = np.maximum(1, np.floor(PIECE_SPACING_MM / np.linalg.norm(affine[:3, :3], axis=0))).astype(int)
    coarse = (labels[:: steps[0], :: steps[1], :: steps[2]] > 0).astype(np.uint8)
    pieces = cc3d.connected_components(coarse, connectivity=26)
    sizes = np.bincount(pieces.ravel())[1:]
    return float(sizes.max() / sizes.sum()) if len(sizes) else 0.0


def check_pose(pose: Pose) -> Fault | None:
    """Looks at how the template fitted."""
    if pose.residual_mm > RESIDUAL_MM:
        return Fault(
            "not a skull",
            f"its surface is {pose.residual_mm:.1f} mm from a skull's on average, wanted at most "
            f"{RESIDUAL_MM} mm; look at it, and leave it out if it is something else",
        )
    if not (SIZES[0] <= pose.size.min() and pose.size.max() <= SIZES[1]):
        width, length, height = pose.size
        return Fault(
            "size",
            f"the head is {width:.2f} times as wide, {length:.2f} times as long and {height:.2f} times as "
            f"high as the mean adult's, wanted {SIZES[0]} to {SIZES[1]}; check the header's spacing",
        )
    if not pose.upright:
        return Fault(
            "orientation",
            "the head does not lie in it as its header says: axes are mirrored or exchanged; "
            "repair the header's directions, which also tell left from right",
        )
    return None


def check_vault(vault: VaultPicture) -> Fault | None:
    """Looks for holes in the vault."""
    fault = check_vault_bone(vault)
    if fault is not None:
        return fault
    areas = hole_areas(vault)
    if areas.largest_cm2 > DEFECT_CM2:
        return Fault(
            "defective",
            f"its vault has a hole of {areas.largest_cm2:.0f} cm2 and no implant that fills it; "
            f"leave it out, or give its implant as label 2",
        )
    if areas.all_cm2 > OPEN_CM2:
        return Fault(
            "vault open",
            f"its vault has holes of {areas.all_cm2:.1f} cm2 together, wanted at most {OPEN_CM2:.1f} cm2; "
            f"segment it with a lower threshold",
        )
    return None


def check_vault_bone(vault: VaultPicture) -> Fault | None:
    """Looks at what there is of a vault, whatever holes it has."""
    cone = inside_cone()
    closed = cone & (vault.outer_mm > 0)
    if not closed.any():
        return Fault("vault open", "there is no vault in it; leave it out")
    thickness = float(np.median(vault.thickness_mm[closed]))
    if not THICKNESS_MM[0] <= thickness <= THICKNESS_MM[1]:
        return Fault(
            "thickness",
            f"its vault is {thickness:.1f} mm thick, wanted {THICKNESS_MM[0]} to {THICKNESS_MM[1]} mm; "
            f"it may be a filled head or a shell: segment the bone again",
        )
    areas = hole_areas(vault)
    if areas.cut_cm2 > DEFECT_CM2:
        return Fault(
            "vault cut off",
            f"{areas.cut_cm2:.0f} cm2 of the vault lie outside of its field of view; leave it out",
        )
    return None


def check_box(vault: VaultPicture, grid: Grid, top_margin_mm: float) -> Fault | None:
    """Looks whether the vault fits into the box in which its anchor is placed."""
    met = inside_cone() & (vault.outer_mm > 0)
    points = np.array(CENTRE_MM) + directions()[met] * vault.outer_mm[met][:, None]
    points[:, 2] += grid.extent_mm[2] / 2 - top_margin_mm
    beyond = np.abs(points).max(axis=0) - np.array(grid.extent_mm) / 2
    if beyond.max() > 0:
        axis = int(beyond.argmax())
        return Fault(
            "too large",
            f"its vault reaches {beyond[axis]:.0f} mm beyond the grid along {'xyz'[axis]}; enlarge "
            f"grid.shape, grid.spacing_mm{' or ingest.top_margin_mm' if axis == 2 else ''}",
        )
    return None


@dataclass(frozen=True)
class Holes:
    """Areas of a vault's holes."""

    all_cm2: float
    largest_cm2: float
    cut_cm2: float  # where the ray leaves the scan before it could meet bone


def hole_areas(vault: VaultPicture) -> Holes:
    """Measures the holes of a vault that has some bone; a hole's depth is that of the bone next to it."""
    from scipy.ndimage import distance_transform_edt, label

    closed = vault.outer_mm > 0
    nearest = distance_transform_edt(~closed, return_distances=False, return_indices=True)
    outer = vault.outer_mm[tuple(nearest)]
    area = pixel_area() * outer**2 / 100
    holes = inside_cone() & ~closed
    cut = holes & (vault.exit_mm < outer - SHORT_MM)
    numbered, count = label(holes, np.ones((3, 3)))
    each = np.bincount(numbered.ravel(), weights=area.ravel(), minlength=count + 1)[1:]
    return Holes(float(each.sum()), float(each.max(initial=0)), float(area[cut].sum()))
