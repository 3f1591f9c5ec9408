"""Voxels of two implants near the defective skull, for the bDSC."""

import math

import numpy as np

from calvaria.metrics.borders import Box, box_of, voxels_of, within

BORDER_MM, BORDER_VOXELS = 10.0, 10
# Relative tolerance, so that distances equal to a limit count as within it despite rounding.
SLACK = 1e-6


def near(
    masks: tuple[np.ndarray, np.ndarray], boxes: tuple[Box, Box], defective: np.ndarray, spacing_mm: tuple
) -> tuple[Box, np.ndarray, np.ndarray]:
    """Return the voxels of two masks within 10 mm and within 10 voxels of the defective skull.

    Distances are needed only for voxels outside the skull, so only the boxes around those are transformed,
    or one box around both if it has no more voxels than the two boxes.

    Args:
        masks: two (x, y, z) bool, neither empty.
        boxes: that enclose each mask.
        defective: (x, y, z), set where not 0.

    Returns:
        A box around both masks, and (box) bool each for 10 mm and 10 voxels: valid at the masks' voxels,
        arbitrary elsewhere.
    """
    outer = box_of(*boxes)
    near_mm, near_voxels = (np.ones(tuple(side.stop - side.start for side in outer), bool) for _ in range(2))
    outside = [within(mask[box] & (defective[box] == 0), box) for mask, box in zip(masks, boxes, strict=True)]
    regions = [region for region in outside if region is not None]
    if len(regions) == 2 and voxels_of(box_of(*regions)) <= sum(map(voxels_of, regions)):
        regions = [box_of(*regions)]
    for region in regions:
        place = tuple(
            slice(part.start - side.start, part.stop - side.start)
            for part, side in zip(region, outer, strict=True)
        )
        near_mm[place], near_voxels[place] = _near(defective, region, spacing_mm)
    return outer, near_mm, near_voxels


def _near(
    defective: np.ndarray, box: Box, spacing_mm: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return for every voxel of the box whether it is within 10 mm, and whether within 10 voxels.

    With isotropic voxels of at most 1 mm, one distance transform in voxels serves both; its squares are
    integers and hence exact.
    """
    in_mm = tuple(s / spacing_mm[0] for s in spacing_mm)
    limit_mm = BORDER_MM / spacing_mm[0]
    squared = _squared_distance(defective, box, in_mm, limit_mm)
    # A NumPy scalar, since a Python float would be rounded to float32 for the comparison.
    near_mm = squared <= np.float64(limit_mm * limit_mm * (1 + SLACK))
    if in_mm != (1.0, 1.0, 1.0) or limit_mm < BORDER_VOXELS:
        squared = _squared_distance(defective, box, (1.0, 1.0, 1.0), BORDER_VOXELS)
    return near_mm, squared <= BORDER_VOXELS * BORDER_VOXELS


def _squared_distance(
    defective: np.ndarray, box: Box, spacing: tuple[float, ...], limit: float
) -> np.ndarray:
    """Return the (box) float32 squared distance to the skull, valid for distances up to ``limit``."""
    import edt

    margins = [math.ceil(limit / s) for s in spacing]
    starts = [max(0, side.start - margin) for side, margin in zip(box, margins, strict=True)]
    wide = tuple(slice(start, side.stop + m) for start, side, m in zip(starts, box, margins, strict=True))
    inner = tuple(
        slice(side.start - start, side.stop - start) for side, start in zip(box, starts, strict=True)
    )
    outside = np.ascontiguousarray(defective[wide] == 0)
    if outside.all():
        return np.full(tuple(side.stop - side.start for side in box), np.inf, np.float32)
    return np.asarray(edt.edtsq(outside, anisotropy=spacing, parallel=1)[inner])
