"""A skull in three volumes: complete, defective, and the implant between the two."""

from pathlib import Path

import numpy as np

from calvaria.errors import InputError
from calvaria.sources import Scan
from calvaria.sources.volumes import Volume, read_mask

_NEAR = 0.1  # voxels: headers are text and may differ in their last digits, not in more


def read_triplet(complete: Path | None, defective: Path, implant: Path) -> Scan:
    """One skull from its parts: label 1 where the defective skull is, 2 where the implant is.

    The published sets are exact in every voxel, so not a single one may be in both parts, or in the complete
    skull and in neither part. Without a complete skull, only the former is checked.

    Raises:
        InputError: if a file cannot be read or is empty, if shapes differ, if affines put a corner of the
            volume more than a tenth of a voxel apart, or if voxels contradict; it names files and counts.
    """
    # One after another: the files hold int32, a gigabyte or so for a large skull; a mask is a quarter of it.
    labels = _part(defective, "a defective skull")
    other = _part(implant, "an implant")
    _same_grid(defective, labels, implant, other)
    shared = int(np.count_nonzero(labels.values & other.values))
    if shared:
        raise InputError(
            f"{implant} and {defective}: {shared} voxels are both implant and remaining bone, wanted none; "
            "check that both are of the same skull and download them again"
        )
    values = other.values * np.uint8(2)
    values |= labels.values
    if complete is not None:
        del other
        whole = _part(complete, "a complete skull")
        _same_grid(defective, labels, complete, whole)
        absent = int(np.count_nonzero(whole.values > values))
        surplus = int(np.count_nonzero((values > 0) & (whole.values == 0)))
        if absent or surplus:
            raise InputError(
                f"{complete}: is not {defective} and {implant} together: {absent} of its voxels are in "
                f"neither, {surplus} of theirs are not in it, wanted none; check that all are of the same "
                "skull and download them again"
            )
    return Scan(values, labels.affine)


def _part(path: Path, what: str) -> Volume:
    volume = read_mask(path)
    if not volume.values.any():
        raise InputError(f"{path}: is empty, wanted {what}; download it again")
    return volume


def _same_grid(path: Path, volume: Volume, other_path: Path, other: Volume) -> None:
    shape, other_shape = volume.values.shape, other.values.shape
    if shape != other_shape:
        raise InputError(
            f"{other_path}: has shape {list(other_shape)} where {path} has {list(shape)}; "
            "check that both are of the same skull and download them again"
        )
    corners = np.array([(*corner, 1) for corner in np.ndindex(2, 2, 2)]) * (*shape, 1)
    apart = float(np.linalg.norm(corners @ (other.affine - volume.affine).T, axis=1).max())
    spacing = float(np.linalg.norm(volume.affine[:3, :3], axis=0).min())
    if not apart <= _NEAR * spacing:
        raise InputError(
            f"{other_path}: its header puts voxels up to {apart:.3g} mm away from where {path} has them, "
            f"wanted less than {_NEAR * spacing:.3g} mm; check that both are of the same skull and download "
            "them again"
        )
