"""An implant for the skull in one file: a CT, a folder of DICOM slices, or a mask."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calvaria.config import Config
from calvaria.errors import CalvariaError, InputError
from calvaria.geometry.canonical import Canonical
from calvaria.geometry.grid import IMPLANT
from calvaria.plugins.scan import Summary
from calvaria.reconstruction.scan_input import read_bone, usable_head
from calvaria.reconstruction.trained import TrainedModel
from calvaria.skull.examine import Head
from calvaria.skull.quality import doubts_of, hole_areas
from calvaria.skull.vault_map import anchor_height, picture_vault
from calvaria.storage.nifti_file import SCANNER, nifti_bytes, tilt_note
from calvaria.storage.outputs import Output, check_file, write_together

if TYPE_CHECKING:
    from trimesh import Trimesh

logger = logging.getLogger(__name__)

LEAST_HOLE_CM2 = 1.0  # the largest hole in 75 intact skulls has 0.2 cm2


class NoDefectError(CalvariaError):
    """The skull is closed."""


@dataclass(frozen=True)
class Options:
    """Output files and settings of a reconstruction."""

    out: Path
    mesh: Path | None
    checks: Path | None
    gap_mm: float = 0.5
    least_thickness_mm: float = 2.0
    threshold_hu: float = 300.0
    series: str | None = None  # of a DICOM folder: number, UID or part of the description
    picture: Path | None = None


@dataclass(frozen=True)
class Patient:
    """The defective skull in a file."""

    path: Path
    summary: Summary | None
    affine: np.ndarray  # (4, 4) voxel indices of the file to RAS+ millimetres
    skull: Canonical  # labels 0 and 1, in canonical storage order, centred
    head: Head
    warnings: list[str]
    hole_cm2: float  # the largest hole of the vault

    @property
    def bone(self) -> np.ndarray:
        """The remaining bone, (i, j, k) bool in canonical storage order."""
        return self.skull.values.view(bool)

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels of the file along i, j, k."""
        return self.skull.in_file(self.skull.values).shape


@dataclass(frozen=True)
class Design:
    """A printable implant, and the results of its checks."""

    mesh: "Trimesh"  # in mm of the centred frame
    direction: np.ndarray  # (3,) unit vector in RAS, from the implant outwards
    results: dict[str, Any]  # of the checks, and whether all are passed


def reconstruct(path: Path, model: Path, options: Options) -> dict[str, Any]:
    """Write the implant of a defective skull; all files are written at the end, or none.

    ``out`` is the predicted implant as a mask on the input's own grid, one component by faces. The mesh, STL
    or PLY in the input's RAS+ millimetres, is the same with a gap to the bone and an insertion path from
    outside. Nothing depends on the order in which the input's voxels are stored. A summary of the input and
    warnings about unusual skulls are printed on standard error.

    Returns:
        a summary of input, implant and checks, as it is written to ``checks``.

    Raises:
        NoDefectError: if the vault has no hole of at least ``LEAST_HOLE_CM2``.
        InputError: if the input is not a head, or not one that an implant can be predicted for; if nothing
            of the implant is left; or if a file cannot be written.
    """
    _check_outputs(path, options)  # before torch is imported, which takes a while
    about, files = outputs(path, TrainedModel.open(model), options)
    write_together(files)
    return about


def outputs(path: Path, model: TrainedModel, options: Options) -> tuple[dict[str, Any], list[Output]]:
    """Return the summary of `reconstruct`, and its files with their contents; write nothing.

    Raises:
        NoDefectError, InputError: as for `reconstruct`.
    """
    patient = _read_patient(path, model.config, options)
    implant = _predict(patient, model)
    design = _design(patient, implant, options)
    about = _summary(patient, implant, design, options)
    files = _files(patient, implant, design, about, options)
    note = tilt_note(options.out, patient.affine, patient.shape)
    if note is not None:
        logger.warning("calvaria: %s", note)
    return about, files


def _read_patient(path: Path, config: Config, options: Options) -> Patient:
    """Read a file, and report its summary and warnings on standard error.

    Raises:
        InputError: if the file contains no usable head.
        NoDefectError: if the vault is closed.
    """
    scan = read_bone(path, options.threshold_hu, options.series)
    summary, affine = scan.summary, scan.affine
    for line in summary.lines() if summary else []:
        logger.info("calvaria: %s: %s", path, line)
    skull = Canonical.of(scan.labels, affine)
    del scan  # to free its voxels
    head = usable_head(path, skull, config.grid.voxels(), config.ingest.top_margin_mm)
    warnings = [str(doubt) for doubt in doubts_of(head.findings)]
    for warning in warnings:
        logger.warning("calvaria: %s: warning: %s", path, warning)
    hole_cm2 = hole_areas(head.vault).largest_cm2
    if hole_cm2 < LEAST_HOLE_CM2:
        raise NoDefectError(
            f"{path}: no defect found: the largest hole of its vault has {hole_cm2:.1f} cm2, "
            f"expected at least {LEAST_HOLE_CM2:g} cm2; nothing was written"
        )
    return Patient(path, summary, affine, skull, head, warnings, hole_cm2)


def _predict(patient: Patient, model: TrainedModel) -> np.ndarray:
    """Predict the implant, (i, j, k) bool in canonical storage order.

    Raises:
        InputError: if the model predicts none.
    """
    from calvaria.reconstruction.consensus import consensus_implant

    config = model.config
    anchor_mm = anchor_height(config.grid.voxels(), config.ingest.top_margin_mm)
    pose = patient.head.pose.to_box(np.array([0.0, 0.0, anchor_mm]))
    implant = consensus_implant(model.predictor, patient.bone, patient.skull.affine, pose)
    if not implant.any():
        raise InputError(
            f"{patient.path}: its vault has a hole of {patient.hole_cm2:.1f} cm2, the model proposes no "
            "implant; look at the scan, or use another model"
        )
    return implant


def _design(patient: Patient, implant: np.ndarray, options: Options) -> Design:
    """Fit the implant to the bone and check it.

    Raises:
        InputError: if the gap leaves nothing of the implant.
    """
    from calvaria.reconstruction.implant.checks import check, to_json
    from calvaria.reconstruction.implant.fitting import fit_implant
    from calvaria.reconstruction.implant.mesh import surface
    from calvaria.reconstruction.implant.space import space_around

    open_cm2 = _open_area(patient, implant)
    space = space_around(implant, patient.bone, patient.skull.affine)
    fitted = fit_implant(space, options.gap_mm)
    if not (fitted.level_mm < 0).any():
        raise InputError(
            f"{patient.path}: nothing of the implant is left with a gap of {options.gap_mm:g} mm"
        )
    mesh = surface(fitted, space)
    results = to_json(check(mesh, fitted, space, options.least_thickness_mm))
    results["checks"]["closes"] = {
        "passed": open_cm2 < LEAST_HOLE_CM2,
        "found": round(open_cm2, 2),
        "wanted": f"holes of less than {LEAST_HOLE_CM2:g} cm2 in the vault",
    }
    results["passed"] = all(result["passed"] for result in results["checks"].values())
    return Design(mesh, space.to_patient[:3, :3] @ fitted.direction, results)


def _open_area(patient: Patient, implant: np.ndarray) -> float:
    """Return the area in cm2 of the largest hole left in the vault by the implant."""
    closed = (patient.bone | implant).view(np.uint8)
    vault = picture_vault(closed, patient.skull.affine, patient.head.pose.to_box(np.zeros(3)))
    return hole_areas(vault).largest_cm2


def _summary(patient: Patient, implant: np.ndarray, design: Design, options: Options) -> dict[str, Any]:
    """Return the content of the file of checks."""
    summary = patient.summary
    voxel_ml = abs(float(np.linalg.det(patient.skull.affine[:3, :3]))) / 1000
    return {
        "input": {"file": patient.path.name, **(summary.to_json() if summary else {})},
        "warnings": patient.warnings,
        "hole_cm2": round(patient.hole_cm2, 2),
        "implant_ml": round(np.count_nonzero(implant) * voxel_ml, 3),
        "mesh_ml": round(float(design.mesh.volume) / 1000, 3),
        "gap_mm": options.gap_mm,
        "insertion_direction_ras": [round(float(part), 4) for part in -design.direction],
        **design.results,
    }


def _files(
    patient: Patient, implant: np.ndarray, design: Design, about: dict[str, Any], options: Options
) -> list[Output]:
    """Return the output files with their contents."""
    from calvaria.reconstruction.implant.mesh import mesh_bytes

    skull = patient.skull
    mask = skull.in_file(implant.view(np.uint8))
    packed = options.out.suffix.lower() == ".gz"
    files = [Output("--out", options.out, nifti_bytes(mask, patient.affine, SCANNER, packed))]
    if options.mesh is not None:
        mesh = design.mesh.copy()
        mesh.apply_translation(-skull.to_centred[:3, 3])
        files.append(Output("--stl", options.mesh, mesh_bytes(mesh, options.mesh.suffix)))
    if options.checks is not None:
        files.append(Output("--json", options.checks, (json.dumps(about, indent=2) + "\n").encode()))
    if options.picture is not None:
        from calvaria.report.implant_picture import implant_picture

        labels = np.where(implant, IMPLANT, skull.values).astype(np.uint8)
        picture = implant_picture(labels, skull.affine, patient.head.pose, patient.warnings)
        files.append(Output("--picture", options.picture, picture))
    return files


def _check_outputs(scan: Path, options: Options) -> None:
    """Check all output files in advance, so that no work is lost to an invalid name.

    Raises:
        InputError: naming the option, the error and the remedy.
    """
    endings = {
        "--out": (options.out, (".nii.gz", ".nii")),
        "--stl": (options.mesh, (".stl", ".ply")),
        "--json": (options.checks, (".json",)),
        "--picture": (options.picture, (".png",)),
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
    except OSError:  # one of them does not exist or is not accessible
        return False
