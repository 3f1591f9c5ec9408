"""Scores of a predicted implant against the real one, as the AutoImplant challenges define them and beyond.

DSC, bDSC and HD95 are those of Li et al. 2021 (IEEE TMI 40:2329) and Kodym et al. 2021. Everything is
computed in the bounding box of what matters, in float64, with sums that do not depend on their order.
"""

import math
from dataclasses import dataclass

import numpy as np

from calvaria.defects.pieces import bounding_box
from calvaria.errors import InputError

BORDER_MM, BORDER_VOXELS, TOLERANCE_MM = 10.0, 10, 1.0
# Distances that are meant to be equal to a limit count as within it, whatever rounding made of them.
SLACK = 1e-6


@dataclass(frozen=True)
class Scores:
    """How well a predicted implant fits; ``bdsc_10mm`` is the bDSC of the challenges."""

    dsc: float  # Dice of the implants, 0 to 1
    bdsc_10mm: float  # Dice of both implants within 10 mm of the defective skull, 0 to 1
    bdsc_10vox: float  # the same within 10 voxels, as some published code has it, 0 to 1
    hd95_mm: float  # 95th percentile of the pooled distances between the borders, 0 to inf
    surface_dice_1mm: float  # share of all border voxels within 1 mm of the other border, 0 to 1
    assd_mm: float  # mean of the pooled distances between the borders, 0 to inf


PERFECT = Scores(1.0, 1.0, 1.0, 0.0, 1.0, 0.0)
FAILED = Scores(0.0, 0.0, 0.0, math.inf, 0.0, math.inf)


def score(
    prediction: np.ndarray,
    reference: np.ndarray,
    defective: np.ndarray,
    spacing_mm: tuple[float, float, float],
) -> Scores:
    """Scores a predicted implant.

    The border of a mask is the mask minus its 6-connected erosion, where everything outside the array
    is background; distances run between voxel centres. If both implants are empty the prediction is
    ``PERFECT``, if only one of them is it has ``FAILED``: an empty prediction is counted, never dropped.

    Args:
        prediction, reference: implants, bool or integer, set where not 0.
        defective: the defective skull, bool or integer, of the same shape.
        spacing_mm: voxel size along the three axes, in the order of the arrays' axes.

    Raises:
        InputError: if shapes differ, the spacing is not positive, or the defective skull is empty.
    """
    _validate(prediction, reference, defective, spacing_mm)
    masks = [mask if mask.dtype == bool else mask != 0 for mask in (prediction, reference)]
    boxes = [bounding_box(mask) for mask in masks]
    if boxes[0] is None or boxes[1] is None:
        return PERFECT if boxes[0] is boxes[1] else FAILED
    box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(*boxes, strict=True))
    found, wanted = (mask[box] for mask in masks)
    distances = _border_distances(found, wanted, spacing_mm)
    near_mm, near_voxels = _near(defective, box, spacing_mm)
    return Scores(
        dsc=_dice(found, wanted),
        bdsc_10mm=_dice(found & near_mm, wanted & near_mm),
        bdsc_10vox=_dice(found & near_voxels, wanted & near_voxels),
        hd95_mm=float(np.percentile(distances, 95)),
        surface_dice_1mm=float(np.count_nonzero(distances <= TOLERANCE_MM * (1 + SLACK)) / distances.size),
        assd_mm=math.fsum(distances.tolist()) / distances.size,
    )


def _validate(
    prediction: np.ndarray, reference: np.ndarray, defective: np.ndarray, spacing: tuple[float, ...]
) -> None:
    if not prediction.shape == reference.shape == defective.shape or prediction.ndim != 3:
        raise InputError(
            f"prediction {prediction.shape}, reference {reference.shape} and defective skull "
            f"{defective.shape} must be volumes of one shape; bring them to one grid first"
        )
    if len(spacing) != 3 or not all(0 < s < math.inf for s in spacing):
        raise InputError(f"the spacing must be three positive lengths in mm, got {spacing}")
    if not defective.any():
        raise InputError("the defective skull is empty; pass the skull with its hole, not the implant")


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice coefficient of two masks; 1 if both are empty."""
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return float(2 * np.count_nonzero(a & b) / total) if total else 1.0


def _border(mask: np.ndarray) -> np.ndarray:
    """The voxels of a mask that have one of their 6 neighbours outside it."""
    inner = mask.copy()
    for axis in range(3):
        here, there = np.moveaxis(inner, axis, 0), np.moveaxis(mask, axis, 0)
        here[1:] &= there[:-1]
        here[:-1] &= there[1:]
        here[[0, -1]] = False
    return np.asarray(mask & ~inner)


def _border_distances(a: np.ndarray, b: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Pooled two-way distances in mm: each border voxel of one mask to the nearest of the other.

    A k-d tree in float64 takes as long as two distance transforms by ``edt``, whose float32 is off by
    up to 1e-4 mm where the masks are far apart.
    """
    from scipy.spatial import KDTree

    points = [np.argwhere(_border(mask)) * np.asarray(spacing_mm, np.float64) for mask in (a, b)]
    pooled = []
    for own, other in (points, points[::-1]):
        tree = KDTree(other, balanced_tree=False, compact_nodes=False)
        step = own - other[tree.query(own)[1]]
        pooled.append(np.sqrt(step[:, 0] ** 2 + step[:, 1] ** 2 + step[:, 2] ** 2))
    return np.concatenate(pooled)


def _near(
    defective: np.ndarray, box: tuple[slice, ...], spacing_mm: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Which voxels of the box are within 10 mm and within 10 voxels of the defective skull.

    With isotropic voxels one distance transform in voxels, where squares are whole and hence exact,
    serves both.
    """
    in_mm = tuple(s / spacing_mm[0] for s in spacing_mm)
    limit_mm = BORDER_MM / spacing_mm[0]
    squared = _squared_distance(defective, box, in_mm, limit_mm)
    near_mm = squared <= limit_mm * limit_mm * (1 + SLACK)
    if in_mm != (1.0, 1.0, 1.0) or limit_mm < BORDER_VOXELS:
        squared = _squared_distance(defective, box, (1.0, 1.0, 1.0), BORDER_VOXELS)
    return near_mm, squared <= BORDER_VOXELS * BORDER_VOXELS


def _squared_distance(
    defective: np.ndarray, box: tuple[slice, ...], spacing: tuple[float, ...], limit: float
) -> np.ndarray:
    """Squared distance to the defective skull in the box, right wherever it is at most ``limit``."""
    import edt

    margins = [math.ceil(limit / s) for s in spacing]
    starts = [max(0, side.start - margin) for side, margin in zip(box, margins, strict=True)]
    wide = tuple(slice(start, side.stop + m) for start, side, m in zip(starts, box, margins, strict=True))
    inner = tuple(
        slice(side.start - start, side.stop - start) for side, start in zip(box, starts, strict=True)
    )
    outside = np.ascontiguousarray(defective[wide] == 0)
    if outside.all():
        return np.full(tuple(side.stop - side.start for side in box), np.inf)
    return np.asarray(edt.edtsq(outside, anisotropy=spacing, parallel=1)[inner], np.float64)
