"""Reads volumes from NIfTI and NRRD files: as they are, as masks, or as labels."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calvaria.errors import InputError
from calvaria.sources import nifti, nrrds
from calvaria.sources.opening import open_checked
from calvaria.sources.voxels import Volume, extremes, slabs

__all__ = ["Volume", "read_labels", "read_mask", "read_volume"]


def read_volume(path: Path) -> Volume:
    """Read a NIfTI (.nii, .nii.gz) or NRRD (.nrrd, .nhdr) file, or an enhanced CT (DICOM in one file).

    Values keep the file's type, or are float32 where a NIfTI header rescales them.

    Raises:
        InputError: if the file cannot be read, is damaged, is not three-dimensional, holds complex or
            colour values, NaN or infinity, or has an affine that is no sane one.
    """
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        return nifti.read(path)
    if name.endswith((".nrrd", ".nhdr")):
        return nrrds.read(path)
    from calvaria.sources.dicom import (
        is_dicom,
        read_file,
    )  # which reads names as `listing` does, and that this

    if is_dicom(path):
        return read_file(path)
    with open_checked(path):
        raise InputError(f"{path}: unknown kind of file, wanted .nii, .nii.gz, .nrrd or .nhdr; convert it")


def read_mask(path: Path) -> Volume:
    """Reads a binary volume as uint8 0/1; its positive value may be any single one, such as 255 or 1.0.

    Raises:
        InputError: as for `read_volume`, or if there are other values.
    """
    volume = read_volume(path)
    low, high = extremes(volume.values)
    if low == 0 and all(bool(((s == 0) | (s == high)).all()) for s in slabs(volume.values)):
        return Volume((volume.values > 0).astype(np.uint8), volume.affine)
    raise _no_labels(path, volume.values, "0 and one positive value")


def read_labels(path: Path) -> Volume:
    """Reads a label volume as uint8: 0 background, 1 bone, 2 implant; or a mask of 0 and 255 as 0 and 1.

    Raises:
        InputError: as for `read_volume`, or if there are other values.
    """
    volume = read_volume(path)
    low, high = extremes(volume.values)
    if low == 0 and high in (0, 1, 2):
        if all(bool(((s == 0) | (s == 1) | (s == 2)).all()) for s in slabs(volume.values)):
            return Volume(volume.values.astype(np.uint8), volume.affine)
    elif (low, high) == (0, 255) and all(bool(((s == 0) | (s == 255)).all()) for s in slabs(volume.values)):
        return Volume((volume.values > 0).astype(np.uint8), volume.affine)
    raise _no_labels(path, volume.values, "0 background, 1 bone, 2 implant, or a mask of 0 and 255")


def _no_labels(path: Path, values: npt.NDArray[Any], wanted: str) -> InputError:
    # A few slabs show what kind of file it is; sorting a whole volume takes long.
    low, high = extremes(values)
    some = np.unique(values[:, :, :: max(values.shape[2] // 8, 1)])
    shown = ", ".join(f"{value:g}" for value in some[:6]) + (", ..." if len(some) > 6 else "")
    hint = "export the segmentation as labels"
    if low <= -200 and high > 200:
        hint = "these look like Hounsfield units, read such files with kind: ct"
    return InputError(f"{path}: holds the values {shown} from {low:g} to {high:g}, wanted {wanted}; {hint}")
