"""An implant for the skull in one file: a CT, a folder of DICOM slices, or a mask."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from calvaria.commands.nifti_file import write_nifti
from calvaria.config import CtSource, load
from calvaria.conform.pose import find_pose
from calvaria.conform.quality import check_bone, check_box, check_pose, check_vault_bone, hole_areas
from calvaria.conform.resample import resample
from calvaria.conform.vault import picture_vault
from calvaria.errors import CalvariaError, InputError
from calvaria.grid import BONE
from calvaria.sources import Entry, Scan, ct
from calvaria.sources.opening import reason
from calvaria.sources.volumes import read_labels, read_mask, read_volume
from calvaria.sources.voxels import extremes

LEAST_HOLE_CM2 = 1.0  # of 75 intact skulls the largest hole is 0.2 cm2


class NoDefectError(CalvariaError):
    """The skull is closed."""


@dataclass(frozen=True)
class Wanted:
    """What is to be made, and how."""

    out: Path
    mesh: Path | None
    checks: Path | None
    gap_mm: float = 0.5
    least_thickness_mm: float = 2.0
    threshold_hu: float = 300.0
    series: str | None = None  # of a DICOM folder: number, UID or part of the description


Written = tuple[str, Path, Callable[[Path], object]]  # an option, its file, and what writes that


def reconstruct(path: Path, model: Path, wanted: Wanted) -> dict[str, Any]:
    """Writes the implant of a defective skull; all files at the end, or none.

    ``out`` is the predicted implant as a mask on the input's own grid. The mesh, STL or PLY in the input's
    RAS+ millimetres, is the same with a gap to the bone and a way in from outside.

    Returns:
        what was found and checked, as it is written to ``checks``.

    Raises:
        NoDefectError: if the vault has no hole of at least ``LEAST_HOLE_CM2``.
        InputError: if the input is no head, or not one that this can be done for; if nothing fits; or if a
            file cannot be written.
    """
    from calvaria.implant.checks import check, to_json
    from calvaria.implant.fitting import fit_implant
    from calvaria.implant.mesh import surface, write_mesh
    from calvaria.implant.space import space_around
    from calvaria.learning.device import prepare_device
    from calvaria.reconstruction.model import load_model
    from calvaria.reconstruction.predictor import coarse_probabilities, fine_bone, predict_implant

    _check_names(path, wanted)
    if not (model / "config.yaml").is_file():
        raise InputError(f"--model {model}: has no config.yaml; wanted a folder that calvaria export wrote")
    config = load(model / "config.yaml")
    scan = read_bone(path, wanted.threshold_hu, wanted.series)
    grid, margin = config.grid.voxels(), config.ingest.top_margin_mm
    fault = check_bone(scan.labels, scan.affine)
    if fault is None:
        pose = find_pose(scan.labels, scan.affine)
        vault = picture_vault(scan.labels, scan.affine, pose.to_box(np.zeros(3)))
        fault = check_pose(pose) or check_vault_bone(vault) or check_box(vault, grid, margin)
    if fault is not None:
        raise InputError(f"{path}: {fault.verdict}: {fault.reason}")
    holes = hole_areas(vault)
    if holes.largest_cm2 < LEAST_HOLE_CM2:
        raise NoDefectError(
            f"{path}: no defect found: its vault has no hole above {holes.largest_cm2:.1f} cm2, less "
            f"than {LEAST_HOLE_CM2:g} cm2; nothing was written"
        )
    # A model that was trained on a GPU serves without one, too.
    device = prepare_device(config.model_copy(update={"device": "cpu" if config.device == "cpu" else "auto"}))
    predictor, _ = load_model(model, device)
    to_box = pose.to_box(np.array([0.0, 0.0, grid.extent_mm[2] / 2 - margin]))
    case = resample(scan.labels, scan.affine, to_box, grid)
    bone = scan.labels == BONE
    said = coarse_probabilities(predictor, case[None])[0]
    fine = fine_bone(predictor, bone, scan.affine, to_box)
    implant = predict_implant(predictor, case, said, fine, bone, scan.affine, to_box).own
    if not implant.any():
        raise InputError(
            f"{path}: its vault has a hole of {holes.largest_cm2:.1f} cm2, the model proposes no implant; "
            "look at the scan, or use another model"
        )
    closed = picture_vault((bone | implant).view(np.uint8), scan.affine, pose.to_box(np.zeros(3)))
    left = hole_areas(closed).largest_cm2
    space = space_around(implant, bone, scan.affine)
    fitted = fit_implant(space, wanted.gap_mm)
    if not (fitted.level_mm < 0).any():
        raise InputError(f"{path}: nothing of the implant is left with a gap of {wanted.gap_mm:g} mm")
    mesh = surface(fitted, space)
    found = to_json(check(mesh, fitted, space, wanted.least_thickness_mm))
    found["checks"]["closes"] = {
        "passed": left < LEAST_HOLE_CM2,
        "found": round(left, 2),
        "wanted": f"holes of less than {LEAST_HOLE_CM2:g} cm2 in the vault",
    }
    found["passed"] = all(one["passed"] for one in found["checks"].values())
    voxel_ml = abs(float(np.linalg.det(scan.affine[:3, :3]))) / 1000
    direction = space.to_patient[:3, :3] @ fitted.direction
    about = {
        "input": path.name,
        "hole_cm2": round(holes.largest_cm2, 2),
        "implant_ml": round(np.count_nonzero(implant) * voxel_ml, 3),
        "mesh_ml": round(float(mesh.volume) / 1000, 3),
        "gap_mm": wanted.gap_mm,
        "insertion_direction_ras": [round(float(part), 4) for part in -direction],
        **found,
    }
    files: list[Written] = [
        ("--out", wanted.out, lambda file: write_nifti(file, implant.astype(np.uint8), scan.affine))
    ]
    if wanted.mesh is not None:
        files.append(("--stl", wanted.mesh, lambda file: write_mesh(file, mesh)))
    if wanted.checks is not None:
        text = json.dumps(about, indent=2) + "\n"
        files.append(("--json", wanted.checks, lambda file: file.write_text(text, encoding="utf-8")))
    _write_all(files)
    return about


def read_bone(path: Path, threshold_hu: float, series: str | None = None) -> Scan:
    """The remaining bone in a file, as label 1; an implant in a label volume is no part of it.

    Raises:
        InputError: if it cannot be read, or is neither a CT nor a mask; or if the threshold is none of bone.
    """
    try:
        # Absolute, as "." is its own parent.
        source = CtSource(kind="ct", path=path.absolute().parent, threshold_hu=threshold_hu, series=series)
    except ValidationError as error:
        raise InputError(f"--threshold-hu {threshold_hu:g}: {error.errors()[0]['msg']} HU") from None
    try:
        folder = path.is_dir()
    except OSError as error:
        raise InputError(f"{path}: {reason(error)}") from None
    if not folder:
        volume = read_volume(path)
        low, high = extremes(volume.values)
        some = np.unique(volume.values[:, :, :: max(volume.values.shape[2] // 8, 1)])
        if low >= 0 and len(some) <= 3:
            found = read_labels(path) if high == 2 else read_mask(path)
            return Scan((found.values == BONE).astype(np.uint8), found.affine)
    entry = Entry(f"input/{path.name}", path.name, (path,))
    return ct.read(source, entry, 0)


def _check_names(scan: Path, wanted: Wanted) -> None:
    endings = {
        "--out": (wanted.out, (".nii.gz", ".nii")),
        "--stl": (wanted.mesh, (".stl", ".ply")),
        "--json": (wanted.checks, (".json",)),
    }
    for option, (file, known) in endings.items():
        if file is None:
            continue
        if not file.name.lower().endswith(known):
            raise InputError(f"{option} {file}: wanted a name that ends in {' or '.join(known)}")
        with _named(option, file):
            if not file.parent.is_dir():
                raise InputError(f"{option} {file}: there is no folder {file.parent}; make it")
            if file.is_dir():
                raise InputError(f"{option} {file}: is a folder; choose another name")
        if _same(file, scan):
            raise InputError(f"{option} {file}: is the scan itself; choose another name")


def _same(file: Path, other: Path) -> bool:
    try:
        return file.samefile(other)
    except OSError:  # one of them is not there, or may not be looked at
        return False


def _write_all(files: list[Written]) -> None:
    """Writes files beside their places, and moves them there once all are written."""
    partials = [file.with_name(f".{os.getpid()}.partial.{file.name}") for _, file, _ in files]
    try:
        for (option, file, write), partial in zip(files, partials, strict=True):
            with _named(option, file):
                write(partial)
        for (option, file, _), partial in zip(files, partials, strict=True):
            with _named(option, file):
                partial.replace(file)
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)


@contextmanager
def _named(option: str, file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise InputError(
            f"{option} {file}: cannot be written: {why}; make room, or choose another name or folder"
        ) from None
