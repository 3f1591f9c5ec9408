"""Check that two files are on one grid, possibly in different orders of axes; nothing is resampled."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calvaria.errors import InputError
from calvaria.geometry.grids import corners_apart_mm, in_order_of, same_grid_mm
from calvaria.sources.voxels import Volume


def on_grid_of(path: Path, reference: Volume, other_path: Path, other: Volume) -> npt.NDArray[Any]:
    """Return the other volume's values in the reference's order of axes, (i, j, k).

    Raises:
        InputError: if shapes differ, or a corner lies more than a tenth of a voxel from the reference's.
    """
    values, affine = in_order_of(reference.affine, other.values, other.affine)
    if values.shape != reference.values.shape:
        raise InputError(
            f"{other_path} has {_times(other.values.shape)} voxels, {path} has "
            f"{_times(reference.values.shape)}, expected one grid; check that both are of the same skull, or "
            "resample one of them onto the other's grid"
        )
    apart, most = corners_apart_mm(reference.affine, affine, values.shape), same_grid_mm(reference.affine)
    if not apart <= most:
        spacings = [np.linalg.norm(one[:3, :3], axis=0) for one in (reference.affine, affine)]
        if np.abs(spacings[0] - spacings[1]).max() * max(values.shape) > most:
            what = f"their spacings are {' and '.join(_times(spacing) for spacing in spacings)} mm"
        else:
            what = "the directions of their axes or their origins differ"
        raise InputError(
            f"{other_path} has the shape of {path}, but other voxel positions: {what}, and corners differ by "
            f"up to {apart:.3g} mm, expected at most {most:.3g} mm, a tenth of a voxel; check that both are "
            "of the same skull, repair the wrong header, or resample one of them onto the other's grid"
        )
    return values


def _times(values: object) -> str:
    return " x ".join(f"{value:.6g}" for value in np.asarray(values).tolist())
