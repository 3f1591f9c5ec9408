"""The scores of one predicted implant, from files."""

import math
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np

from calvaria.errors import InputError
from calvaria.evaluation.metrics import score
from calvaria.sources.volumes import Volume, read_mask

# Grids whose corner voxels lie this close are one grid: headers round their directions and origins.
SAME_GRID_MM = 0.01


def score_files(prediction: Path, reference: Path, defective: Path) -> dict[str, float | None]:
    """Scores a predicted implant; all three files are masks, NIfTI or NRRD, on one grid.

    The voxels' spacing is that of the reference's affine: the lengths of its columns.

    Returns:
        The fields of `calvaria.evaluation.metrics.Scores`, with None for an infinite distance: JSON has no
        infinity.

    Raises:
        InputError: if a file cannot be read, is no mask, or lies on another grid; nothing is resampled.
    """
    volumes: list[Volume] = []
    for path in (reference, prediction, defective):
        volume = read_mask(path)
        if volumes:
            _check_grid(reference, volumes[0], path, volume)
        volumes.append(volume)
    truth, found, skull = volumes
    i, j, k = (float(length) for length in np.linalg.norm(truth.affine[:3, :3], axis=0))
    try:
        scores = score(found.values, truth.values, skull.values, (i, j, k))
    except InputError as error:
        raise InputError(f"{defective}: {error}") from None
    return {name: value if math.isfinite(value) else None for name, value in asdict(scores).items()}


def _check_grid(first: Path, a: Volume, second: Path, b: Volume) -> None:
    if a.values.shape != b.values.shape:
        raise InputError(
            f"{first} has {_times(a.values.shape)} voxels, {second} has {_times(b.values.shape)}; "
            f"scores need one grid: resample one of them onto the other's"
        )
    apart = _apart_mm(a, b)
    if apart > SAME_GRID_MM:
        spacings = [np.linalg.norm(volume.affine[:3, :3], axis=0) for volume in (a, b)]
        if np.abs(spacings[0] - spacings[1]).max() * max(a.values.shape) > SAME_GRID_MM:
            what = f"their spacings are {' and '.join(_times(s) for s in spacings)} mm"
        else:
            what = "the directions of their axes or their origins differ"
        raise InputError(
            f"{first} and {second} have the same number of voxels, but not the same affine: {what}, and "
            f"their corners lie up to {apart:.3g} mm apart, wanted at most {SAME_GRID_MM:g} mm; "
            f"resample one of them onto the other's grid, or repair the header that is wrong"
        )


def _apart_mm(a: Volume, b: Volume) -> float:
    """How far the same corner voxels of two volumes of one shape lie apart."""
    corners = np.array(list(product(*((0, n - 1) for n in a.values.shape))), np.float64)
    step = corners @ (a.affine - b.affine)[:3, :3].T + (a.affine - b.affine)[:3, 3]
    return float(np.linalg.norm(step, axis=1).max())


def _times(values: object) -> str:
    return " x ".join(f"{value:.6g}" for value in np.asarray(values).tolist())
