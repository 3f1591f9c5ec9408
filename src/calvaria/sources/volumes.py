"""Read volumes from NIfTI, NRRD and MetaImage files: as they are, as masks, or as labels."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calvaria.errors import InputError
from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.sources import metaimage, nifti, nrrds
from calvaria.sources.opening import open_checked
from calvaria.sources.segments import WHAT_TO_NAME, listed, roles_of
from calvaria.sources.voxels import Volume, extremes, slabs

__all__ = [
    "VOLUMES",
    "Volume",
    "is_label_like",
    "labels_of",
    "looks_like_ct",
    "mask_of",
    "read_labels",
    "read_mask",
    "read_volume",
    "skull_of",
]

_READERS = {
    (".nii", ".nii.gz"): nifti.read,
    (".nrrd", ".nhdr"): nrrds.read,
    (".mha", ".mhd"): metaimage.read,
}
VOLUMES = tuple(ending for endings in _READERS for ending in endings)
ROUNDING = 1e-3  # labels that passed through floats or a header's slope are integers to within this
_MASK_LEVELS = 3  # maximum number of distinct values of a mask, which may be any numbers
_LABEL_LEVELS = 64  # likewise of a label map, which are integers; a CT has thousands
_CONVERTERS = {
    (".hdr", ".img"): (
        "is of Analyze's format or NIfTI's in two files, of which the former does not tell left from right; "
        "export it as .nii.gz from the program that made it, or convert it (nib-convert x.hdr x.nii.gz) and "
        "check left and right"
    ),
    (".mgz", ".mgh", ".mnc"): "cannot be read; convert it (nib-convert, mri_convert or mnc2nii) to .nii.gz",
    (".dcm", ".ima", ".dicom"): (
        "is not a DICOM file although its name says so; correct its name, or export the scan again"
    ),
    (".stl", ".ply", ".obj", ".vtk", ".vtp"): (
        "is a surface mesh, expected voxels; convert it to a labelmap (3D Slicer: Segmentations, Export)"
    ),
}


def read_volume(path: Path) -> Volume:
    """Read a NIfTI, NRRD or MetaImage file, or an enhanced CT (DICOM in one file).

    Values keep the file's type, or are float32 where a NIfTI header rescales them. The origin has the names
    of segments, if the file has any.

    Raises:
        InputError: if the file cannot be read, is damaged, is not three-dimensional, holds complex or
            colour values, NaN or infinity, has segments that overlap, or has an affine that no scanner makes.
    """
    name = path.name.lower()
    for endings, reader in _READERS.items():
        if name.endswith(endings):
            return reader(path)
    from calvaria.sources.dicom import is_dicom, read_file  # imports `listing`, and that this module

    if is_dicom(path):
        return read_file(path)
    with open_checked(path):
        raise InputError(f"{path}: {unknown_kind(path)}")


def unknown_kind(path: Path) -> str:
    """Return the remedy for a file whose name is not that of a volume."""
    for endings, advice in _CONVERTERS.items():
        if path.name.lower().endswith(endings):
            return advice
    return (
        f"unknown kind of file, expected {', '.join(VOLUMES)}; convert it with the program that made it, "
        "3D Slicer or ITK-SNAP"
    )


def read_mask(path: Path) -> Volume:
    """Read a binary volume; see `mask_of`.

    Raises:
        InputError: as for `read_volume` and `mask_of`.
    """
    return mask_of(path, read_volume(path))


def read_labels(path: Path) -> Volume:
    """Read a label volume; see `labels_of`.

    Raises:
        InputError: as for `read_volume` and `labels_of`.
    """
    return labels_of(path, read_volume(path))


def mask_of(path: Path, volume: Volume) -> Volume:
    """Return a binary volume as uint8 0/1; its positive value may be any single one, such as 255 or 1.0.

    Raises:
        InputError: if there are other values, or several segments.
    """
    if len(volume.origin.meanings) > 1:
        raise InputError(
            f"{path}: has the segments {listed(volume.origin.meanings)}, expected one; export one of them"
        )
    values = rounded(volume.values)
    low, high = extremes(values)
    if low == 0 and all(bool(((s == 0) | (s == high)).all()) for s in slabs(values)):
        meanings = dict(zip([1], volume.origin.meanings.values(), strict=False))
        return Volume((values > 0).view(np.uint8), volume.affine, replace(volume.origin, meanings=meanings))
    raise _no_labels(path, volume, "0 and one positive value")


def labels_of(path: Path, volume: Volume) -> Volume:
    """Return a label volume as uint8: 0 background, 1 bone, 2 implant; or a mask of 0 and 255 as 0 and 1.

    Segments are identified by name, regardless of number, if any name denotes bone or implant.

    Raises:
        InputError: if there are other values, or segments of which none is identified as bone.
    """
    named = roles_of(path, volume.origin.meanings)
    values = rounded(volume.values)
    roles = named or ({255: BONE} if extremes(values)[1] == 255 else {BONE: BONE, IMPLANT: IMPLANT})
    if BONE not in roles.values():
        raise InputError(
            f"{path}: its only segment is {listed(volume.origin.meanings)}, expected bone; {WHAT_TO_NAME}"
        )
    labels = _relabelled(values, roles)
    if labels is None:
        raise _no_labels(path, volume, "0 background, 1 bone, 2 implant, or a mask of 0 and 255")
    origin = replace(
        volume.origin,
        meanings={
            role: volume.origin.meanings[label]
            for label, role in sorted(roles.items(), key=lambda pair: pair[1])
            if label in volume.origin.meanings
        },
    )
    if named and any(label != role for label, role in named.items()):
        was = f"labels were renumbered by segment names: {listed(volume.origin.meanings)} in the file"
        origin = replace(origin, notes=(*origin.notes, was))
    return Volume(labels, volume.affine, origin)


def skull_of(path: Path, volume: Volume) -> Volume:
    """Return a label volume or a mask as uint8: 0 background, 1 bone, 2 implant.

    A mask may have any single positive value but 2, which alone would be an implant without bone.

    Raises:
        InputError: as for `mask_of` and `labels_of`.
    """
    is_labels = volume.origin.meanings or abs(float(volume.values.max()) - IMPLANT) <= ROUNDING
    return labels_of(path, volume) if is_labels else mask_of(path, volume)


def is_label_like(volume: Volume) -> bool:
    """Return whether a few slices have values of a mask or label map, not Hounsfield units."""
    if volume.origin.meanings:
        return True
    if float(volume.values.min()) < -ROUNDING:
        return False
    some = _some_levels(volume.values)
    return len(some) <= _MASK_LEVELS or (
        len(some) <= _LABEL_LEVELS and bool((some == np.rint(some)).all() and some[0] == 0)
    )


def looks_like_ct(values: npt.NDArray[Any]) -> bool:
    """Return whether values have the range of a CT's Hounsfield units."""
    low, high = extremes(values)
    return low <= -200 and high > 200


def rounded(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return floats as uint16 if all are within ``ROUNDING`` of such an integer; else unchanged values."""
    if values.dtype.kind != "f":
        return values
    low, high = extremes(values)
    if low < -ROUNDING or high > np.iinfo(np.uint16).max:
        return values
    whole = np.empty(values.shape, np.uint16, order="F")
    for source, target in zip(slabs(values), slabs(whole), strict=True):
        near = np.rint(source)
        if np.abs(source - near).max() > ROUNDING:
            return values
        target[:] = near
    return whole


def _relabelled(values: npt.NDArray[Any], roles: Mapping[int, int]) -> npt.NDArray[np.uint8] | None:
    """Return the roles of values, 0 for 0; None if there is another value."""
    labels = np.zeros(values.shape, np.uint8, order="F")
    for source, target in zip(slabs(values), slabs(labels), strict=True):
        for label, role in roles.items():
            target[source == label] = role
        if not bool(((target > 0) | (source == 0)).all()):
            return None
    return labels


def _some_levels(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the sorted values of some slices, near-integers rounded; a whole volume would take long."""
    some = np.unique(values[:, :, :: max(values.shape[2] // 8, 1)])
    near = np.rint(some)
    return np.unique(np.where(np.abs(some - near) <= ROUNDING, near, some))


def _no_labels(path: Path, volume: Volume, expected: str) -> InputError:
    low, high = extremes(volume.values)
    some = _some_levels(volume.values)
    shown = ", ".join(f"{value:g}" for value in some[:6]) + (", ..." if len(some) > 6 else "")
    hint = "export the segmentation as labels"
    if looks_like_ct(volume.values):
        hint = "these look like a CT's Hounsfield units: segment the bone first"
    elif volume.origin.meanings:
        hint = f"its segments are {listed(volume.origin.meanings)}: {WHAT_TO_NAME}"
    return InputError(
        f"{path}: holds the values {shown} from {low:g} to {high:g}, expected {expected}; {hint}"
    )
