"""A skull in three volumes: complete, defective, and the implant between the two."""

from pathlib import Path

import numpy as np

from calvaria.errors import InputError
from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.plugins.scan import Origin, Scan, summarise
from calvaria.sources.listing import own_id
from calvaria.sources.same_grid import on_grid_of
from calvaria.sources.volumes import Volume, read_mask

PARTS = ("complete_skull", "defective_skull", "implant")  # folders, in the order of `read_triplet`
MEANINGS = Origin(meanings={BONE: "bone", IMPLANT: "implant"})


def read_triplet(complete: Path | None, defective: Path, implant: Path) -> Scan:
    """Return one skull from its parts: label 1 where the defective skull is, 2 where the implant is.

    The published sets are exact in every voxel, so no voxel may be in both parts, and their union has to be
    the complete skull. Without a complete skull, only the former is checked.

    Raises:
        InputError: if a file cannot be read or is empty, if shapes differ, if affines put a corner of the
            volume more than a tenth of a voxel apart, or if voxels contradict; files and counts are named.
    """
    # One at a time: the files hold int32, a gigabyte or so for a large skull; a mask is a quarter of it.
    bone = _part(defective, "a defective skull")
    piece = on_grid_of(defective, bone, implant, _part(implant, "an implant"))
    shared = int(np.count_nonzero(bone.values & piece))
    if shared:
        raise InputError(
            f"{implant} and {defective}: {shared} voxels are both implant and remaining bone, expected none; "
            "check that both are of the same skull and defect, and remove the overlap from one of them"
        )
    labels = piece * np.uint8(IMPLANT)
    labels |= bone.values
    if complete is not None:
        del piece
        whole = on_grid_of(defective, bone, complete, _part(complete, "a complete skull"))
        absent = int(np.count_nonzero(whole > labels))
        surplus = int(np.count_nonzero((labels > 0) & (whole == 0)))
        if absent or surplus:
            raise InputError(
                f"{complete}: expected the union of {defective} and {implant}: {absent} of its voxels are in "
                f"neither, {surplus} of theirs are not in it; check that all are of the same skull and "
                "defect"
            )
    return Scan(labels, bone.affine, summarise("label volume", labels, bone.affine, MEANINGS))


def _part(path: Path, what: str) -> Volume:
    volume = read_mask(path)
    if not volume.values.any():
        raise InputError(
            f"{path}: is empty, expected {what}; remove it, or replace it with that of this skull"
        )
    return volume


def by_id(folder: Path) -> dict[str, Path]:
    """Return the volumes directly in a folder, NRRD or converted to NIfTI, by their names without ending.

    Raises:
        InputError: if two of them have the same id.
    """
    paths: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        if path.name.startswith(".") or not path.name.endswith((".nrrd", ".nii.gz")):
            continue
        id = own_id(path)
        if id in paths:
            raise InputError(f"{paths[id]} and {path}: are the same part of one skull; remove one of them")
        paths[id] = path
    return paths


def lacking(missing: list[Path]) -> str | None:
    """Return the fault of a skull with missing files; None if there are none."""
    if not missing:
        return None
    return f"no such file: {', '.join(map(str, missing))}; restore it from the data set's archive"
