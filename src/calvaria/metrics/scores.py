"""Scores of a predicted implant against the reference: those of the AutoImplant challenges, and others.

DSC, bDSC and HD95 are those of Li et al. 2021 (IEEE TMI 40:2329) and Kodym et al. 2021; docs/metrics.md has
all definitions. All scores are computed in bounding boxes, with sums that do not depend on the order of
their terms. Four scores use the distances between the two borders.
"""

import math
from dataclasses import dataclass

import numpy as np

from calvaria.errors import InputError
from calvaria.geometry.components import bounding_box
from calvaria.geometry.overlap import dice
from calvaria.metrics.borders import border_points, nearest_mm, touches
from calvaria.metrics.nearness import SLACK, near

TOLERANCE_MM = 1.0


@dataclass(frozen=True)
class Scores:
    """Scores of a predicted implant; ``bdsc_10mm`` is the bDSC of the challenges."""

    dsc: float  # Dice of the implants, 0 to 1
    bdsc_10mm: float  # Dice of both implants within 10 mm of the defective skull, 0 to 1
    bdsc_10vox: float  # the same within 10 voxels, as in some published code, 0 to 1
    hd95_mm: float  # 95th percentile of the pooled distances between the borders, 0 to inf
    surface_dice_1mm: float  # share of all border voxels within 1 mm of the other border, 0 to 1
    assd_mm: float  # mean of the pooled distances between the borders, 0 to inf
    rim_gap_mm: float  # 95th percentile of the distances from the defect's rim to the prediction, 0 to inf


PERFECT = Scores(1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0)
FAILED = Scores(0.0, 0.0, 0.0, math.inf, 0.0, math.inf, math.inf)


def score(
    prediction: np.ndarray,
    reference: np.ndarray,
    defective: np.ndarray,
    spacing_mm: tuple[float, float, float],
) -> Scores:
    """Score a predicted implant.

    The border of a mask is the mask minus its 6-connected erosion, where everything outside the array
    is background; distances are between voxel centres. If both implants are empty, the scores are
    ``PERFECT``; if only one is empty, they are ``FAILED``: an empty prediction is counted, never dropped.

    Args:
        prediction, reference: implants, bool or integer, set where not 0.
        defective: the defective skull, bool or integer, of the same shape.
        spacing_mm: voxel size along the three axes, in the order of the arrays' axes.

    Raises:
        InputError: if shapes differ, the spacing is not positive, or the defective skull is empty.
    """
    _validate(prediction, reference, defective, spacing_mm)
    # All scores are invariant to the order of axes; processing in memory order is faster.
    order = np.argsort([-abs(stride) for stride in reference.strides], kind="stable")
    prediction, reference, defective = (mask.transpose(order) for mask in (prediction, reference, defective))
    x, y, z = (float(spacing_mm[axis]) for axis in order)
    predicted, true = (mask if mask.dtype == bool else mask != 0 for mask in (prediction, reference))
    predicted_box, true_box = bounding_box(predicted), bounding_box(true)
    if predicted_box is None or true_box is None:
        return PERFECT if predicted_box is true_box else FAILED
    points = border_points(predicted, predicted_box), border_points(true, true_box)
    to_true, to_predicted = nearest_mm(*points, (x, y, z)), nearest_mm(*points[::-1], (x, y, z))
    distances = np.concatenate([to_true, to_predicted])
    box, near_mm, near_voxels = near((predicted, true), (predicted_box, true_box), defective, (x, y, z))
    a, b = predicted[box], true[box]
    return Scores(
        dsc=dice(a, b),
        bdsc_10mm=dice(a & near_mm, b & near_mm),
        bdsc_10vox=dice(a & near_voxels, b & near_voxels),
        hd95_mm=float(np.percentile(distances, 95)),
        surface_dice_1mm=float(np.count_nonzero(distances <= TOLERANCE_MM * (1 + SLACK)) / distances.size),
        assd_mm=math.fsum(distances.tolist()) / distances.size,
        rim_gap_mm=_rim_gap(points[1], to_predicted, predicted, defective),
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


def _rim_gap(
    border: np.ndarray, distances_mm: np.ndarray, predicted: np.ndarray, defective: np.ndarray
) -> float:
    """Return the 95th percentile of the distances from the defect's rim to the predicted implant.

    The rim consists of the reference's border voxels that touch the defective skull; if none does, of its
    whole border. The voxel of a mask nearest to a point outside it is on its border, so the distances are
    those between the borders, except for rim voxels inside the prediction, which have no gap.

    Args:
        border: (n, 3) voxel indices of the reference's border.
        distances_mm: (n,) their distances to the prediction's border.
    """
    rim = touches(border, defective)
    chosen = rim if rim.any() else np.ones_like(rim)
    gaps = np.where(predicted[tuple(border[chosen].T)], 0.0, distances_mm[chosen])
    return float(np.percentile(gaps, 95))
