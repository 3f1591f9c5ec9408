"""An implant for the skull in one file: a CT, a folder of DICOM slices, or a mask."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from calvaria.config import load
from calvaria.errors import CalvariaError, InputError
from calvaria.geometry.canonical import Canonical
from calvaria.geometry.grid import BONE, IMPLANT, Grid
from calvaria.plugins.scan import Kind, summarise
from calvaria.skull.examine import Head, find_head
from calvaria.skull.quality import Finding, doubts_of, first_fault, hole_areas
from calvaria.skull.vault_map import picture_vault
from calvaria.sources import Entry, Scan
from calvaria.sources.ct import CtSource
from calvaria.sources.opening import reason
from calvaria.sources.volumes import is_label_like, read_volume, skull_of
from calvaria.storage.nifti_file import SCANNER, nifti_bytes, tilt_note
from calvaria.storage.outputs import Output, check_file, write_together

LEAST_HOLE_CM2 = 1.0  # of 75 intact skulls the largest hole is 0.2 cm2
TOO_LARGE = "check the header's spacing, or use a model with a larger grid"


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
    picture: Path | None = None


def reconstruct(path: Path, model: Path, wanted: Wanted) -> dict[str, Any]:
    """Write the implant of a defective skull; all files at the end, or none.

    ``out`` is the predicted implant as a mask on the input's own grid, one piece by faces. The mesh, STL or
    PLY in the input's RAS+ millimetres, is the same with a gap to the bone and a way in from outside. Nothing
    of it depends on the order in which the input's voxels are stored. What was read, and what is unusual
    about the skull, is printed on standard error.

    Returns:
        what was read, found and checked, as it is written to ``checks``.

    Raises:
        NoDefectError: if the vault has no hole of at least ``LEAST_HOLE_CM2``.
        InputError: if the input is no head, or not one that this can be done for; if nothing fits; or if a
            file cannot be written.
    """
    _check_outputs(path, wanted)  # before torch is imported, which takes a while

    from calvaria.reconstruction.consensus import consensus_implant
    from calvaria.reconstruction.export.model import load_model
    from calvaria.reconstruction.implant.checks import check, to_json
    from calvaria.reconstruction.implant.fitting import fit_implant
    from calvaria.reconstruction.implant.mesh import mesh_bytes, surface
    from calvaria.reconstruction.implant.space import space_around
    from calvaria.training.device import prepare_device

    if not (model / "config.yaml").is_file():
        raise InputError(f"--model {model}: has no config.yaml; expected a folder that calvaria export wrote")
    config = load(model / "config.yaml")
    scan = read_bone(path, wanted.threshold_hu, wanted.series)
    summary = scan.summary
    for line in summary.lines() if summary else []:
        print(f"calvaria: {path}: {line}", file=sys.stderr)
    own = Canonical.of(scan.labels, scan.affine)
    grid, margin = config.grid.voxels(), config.ingest.top_margin_mm
    head = _usable_head(path, own, grid, margin)
    warnings = [str(doubt) for doubt in doubts_of(head.findings)]
    for warning in warnings:
        print(f"calvaria: {path}: warning: {warning}", file=sys.stderr)
    holes = hole_areas(head.vault)
    if holes.largest_cm2 < LEAST_HOLE_CM2:
        raise NoDefectError(
            f"{path}: no defect found: the largest hole of its vault has {holes.largest_cm2:.1f} cm2, "
            f"expected at least {LEAST_HOLE_CM2:g} cm2; nothing was written"
        )
    # A model that was trained on a GPU serves without one, too.
    device = prepare_device(config.model_copy(update={"device": "cpu" if config.device == "cpu" else "auto"}))
    predictor, _ = load_model(model, device)
    to_box = head.pose.to_box(np.array([0.0, 0.0, grid.extent_mm[2] / 2 - margin]))
    bone = own.values == BONE
    implant = consensus_implant(predictor, bone, own.affine, to_box)
    if not implant.any():
        raise InputError(
            f"{path}: its vault has a hole of {holes.largest_cm2:.1f} cm2, the model proposes no implant; "
            "look at the scan, or use another model"
        )
    closed = picture_vault((bone | implant).view(np.uint8), own.affine, head.pose.to_box(np.zeros(3)))
    left = hole_areas(closed).largest_cm2
    space = space_around(implant, bone, own.affine)
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
    voxel_ml = abs(float(np.linalg.det(own.affine[:3, :3]))) / 1000
    direction = space.to_patient[:3, :3] @ fitted.direction
    about = {
        "input": {"file": path.name, **(summary.to_json() if summary else {})},
        "warnings": warnings,
        "hole_cm2": round(holes.largest_cm2, 2),
        "implant_ml": round(np.count_nonzero(implant) * voxel_ml, 3),
        "mesh_ml": round(float(mesh.volume) / 1000, 3),
        "gap_mm": wanted.gap_mm,
        "insertion_direction_ras": [round(float(part), 4) for part in -direction],
        **found,
    }
    mask = own.in_file(implant.astype(np.uint8))
    packed = wanted.out.suffix.lower() == ".gz"
    files = [Output("--out", wanted.out, nifti_bytes(mask, scan.affine, SCANNER, packed))]
    note = tilt_note(wanted.out, scan.affine, mask.shape)
    if note is not None:
        print(f"calvaria: {note}", file=sys.stderr)
    if wanted.mesh is not None:
        mesh.apply_translation(-own.to_centred[:3, 3])  # the checks measured it in the centred frame
        files.append(Output("--stl", wanted.mesh, mesh_bytes(mesh, wanted.mesh.suffix)))
    if wanted.checks is not None:
        files.append(Output("--json", wanted.checks, (json.dumps(about, indent=2) + "\n").encode()))
    if wanted.picture is not None:
        from calvaria.report.implant_picture import implant_picture

        labels = np.where(implant, IMPLANT, own.values).astype(np.uint8)
        picture = implant_picture(labels, own.affine, head.pose, warnings)
        files.append(Output("--picture", wanted.picture, picture))
    write_together(files)
    return about


def _usable_head(path: Path, own: Canonical, grid: Grid, top_margin_mm: float) -> Head:
    """The head in a scan's remaining bone.

    Raises:
        InputError: if there is none that can be worked with.
    """
    head = find_head(own, grid, top_margin_mm, TOO_LARGE)
    fault = head if isinstance(head, Finding) else first_fault(head.findings)
    if isinstance(head, Finding) or fault is not None:
        raise InputError(f"{path}: {fault}")
    return head


def read_bone(path: Path, threshold_hu: float, series: str | None = None) -> Scan:
    """Read the remaining bone in a file, as label 1; an implant in a label volume is no part of it.

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
        if is_label_like(volume):
            found = skull_of(path, volume)
            kind: Kind = "label volume" if found.values.max() == IMPLANT else "mask"
            summary = summarise(kind, found.values, found.affine, found.origin)
            return Scan((found.values == BONE).view(np.uint8), found.affine, summary)
    entry = Entry(f"input/{path.name}", path.name, (path,))
    return source.read(entry, 0)


def _check_outputs(scan: Path, wanted: Wanted) -> None:
    """Try all outputs, so that no work is lost over a name.

    Raises:
        InputError: naming the option, what is wrong with it, and what to do.
    """
    endings = {
        "--out": (wanted.out, (".nii.gz", ".nii")),
        "--stl": (wanted.mesh, (".stl", ".ply")),
        "--json": (wanted.checks, (".json",)),
        "--picture": (wanted.picture, (".png",)),
    }
    for option, (file, known) in endings.items():
        if file is None:
            continue
        if not file.name.lower().endswith(known):
            raise InputError(f"{option} {file}: expected a name that ends in {' or '.join(known)}")
        if _same(file, scan):
            raise InputError(f"{option} {file}: is the scan itself; choose another name")
        check_file(option, file)


def _same(file: Path, other: Path) -> bool:
    try:
        return file.samefile(other)
    except OSError:  # one of them is not there, or may not be looked at
        return False
