"""Scores of one predicted implant, from files."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np

from calvaria.errors import InputError
from calvaria.metrics.scores import score
from calvaria.sources.same_grid import on_grid_of
from calvaria.sources.volumes import read_mask


def score_files(prediction: Path, reference: Path, defective: Path) -> dict[str, float | None]:
    """Score a predicted implant; all three files are masks on one grid, in any axis order.

    The voxels' spacing is that of the reference's affine: the lengths of its columns. The other
    grids may deviate by up to a tenth of a voxel, as headers are rounded.

    Returns:
        The fields of `calvaria.metrics.scores.Scores`, with None for an infinite distance: JSON has no
        infinity.

    Raises:
        InputError: if a file cannot be read, is not a mask, or lies on another grid; nothing is resampled.
    """
    truth = read_mask(reference)
    predicted, skull = (
        on_grid_of(reference, truth, path, read_mask(path)) for path in (prediction, defective)
    )
    i, j, k = (float(length) for length in np.linalg.norm(truth.affine[:3, :3], axis=0))
    try:
        scores = score(predicted, truth.values, skull, (i, j, k))
    except InputError as error:
        raise InputError(f"{defective}: {error}") from None
    return {name: value if math.isfinite(value) else None for name, value in asdict(scores).items()}
