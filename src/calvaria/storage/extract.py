"""Write one volume of a store as a file for viewers: NIfTI, NRRD, or a segmentation of 3D Slicer."""

import logging
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import numpy as np

from calvaria.config import HELD_OUT, load
from calvaria.errors import InputError
from calvaria.geometry.grid import BONE, IMPLANT, Grid
from calvaria.geometry.resample import restore
from calvaria.storage.nifti_file import ALIGNED, SCANNER, nifti_bytes, tilt_note
from calvaria.storage.nrrd_file import Segment, nrrd_bytes
from calvaria.storage.packed import PackedStore, open_store
from calvaria.storage.paths import Run
from calvaria.storage.rows import IngestRow
from calvaria.storage.store import Store, read_json, write_atomically

logger = logging.getLogger(__name__)

ENDINGS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd")


class View(StrEnum):
    """The part of a case that is written."""

    CASE = "case"  # 0 background, 1 remaining bone, 2 implant
    SKULL = "skull"
    DEFECTIVE = "defective"
    IMPLANT = "implant"


BONE_SEGMENT = Segment("Remaining bone", (0.95, 0.84, 0.57))
IMPLANT_SEGMENT = Segment("Implant", (0.0, 0.45, 0.7))
SEGMENTS = {
    View.CASE: {BONE: BONE_SEGMENT, IMPLANT: IMPLANT_SEGMENT},
    View.SKULL: {1: Segment("Skull", BONE_SEGMENT.colour)},
    View.DEFECTIVE: {1: BONE_SEGMENT},
    View.IMPLANT: {1: IMPLANT_SEGMENT},
}


def extract(path: Path, index: int, out: Path, view: View, scan: bool) -> tuple[int, ...]:
    """Write a view of one volume of a published store or a run's store.

    Args:
        out: the file; its extension selects the format.
        scan: whether to write it on the native grid of its scan instead of the canonical grid.

    Returns:
        the size in voxels along each axis.

    Raises:
        InputError: if there is no such volume, or it has no scan.
        StoreError: if the store is missing or damaged, or the file cannot be written.
    """
    ending = next((one for one in ENDINGS if out.name.lower().endswith(one)), None)
    if ending is None:
        raise InputError(f"--out {out}: expected one of the extensions {', '.join(ENDINGS)}")
    store = open_store(path)
    rows = store.rows()
    if not 0 <= index < len(rows):
        raise InputError(f"{path}: has no volume {index}; it has {len(rows)}, the first is number 0")
    labels = store.volume(rows[index])
    attributes = read_json(path / "zarr.json")["attributes"]
    affine = np.array(attributes["affine"])
    if scan:
        row = _ingest_row(store, rows[index])
        grid = Grid((labels.shape[0], labels.shape[1], labels.shape[2]), attributes["spacing_mm"])
        affine = np.array(row["scan"]["affine"])
        labels = on_scan(labels, grid, affine, np.array(row["pose"]), tuple(row["scan"]["shape"]))
    shown = select_view(labels, view)
    if ending.endswith(".nrrd"):
        content = nrrd_bytes(shown, affine, SEGMENTS[view] if ending == ".seg.nrrd" else {})
    else:
        content = nifti_bytes(shown, affine, SCANNER if scan else ALIGNED, packed=ending == ".nii.gz")
    write_atomically(out, content)
    if (note := tilt_note(out, affine, shown.shape)) is not None:
        logger.warning("calvaria: %s", note)
    return shown.shape


def select_view(labels: np.ndarray, view: View) -> np.ndarray:
    """Return a view of uint8 labels, of the same shape: the labels, or the mask of a part of them."""
    match view:
        case View.CASE:
            return labels
        case View.SKULL:
            return (labels > 0).astype(np.uint8)
        case View.DEFECTIVE:
            return (labels == BONE).astype(np.uint8)
        case View.IMPLANT:
            return (labels == IMPLANT).astype(np.uint8)


def on_scan(
    labels: np.ndarray, grid: Grid, affine: np.ndarray, pose: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Return (i, j, k) uint8 labels on the scan's grid; see `calvaria.geometry.resample.restore`."""
    whole = restore(labels, grid, affine, pose, shape)
    whole[(whole > 0) & (restore(labels == IMPLANT, grid, affine, pose, shape) > 0)] = IMPLANT
    return whole


def _ingest_row(store: Store[Any] | PackedStore, row: dict[str, Any]) -> IngestRow:
    """Return the row of the ingested scan that a volume shows unchanged apart from a defect.

    Raises:
        InputError: if the volume is synthetic, was published, or its scan has no pose.
    """
    name = f"{store.path}: volume {row['index']}"
    if "id" in row:
        scanned = cast(IngestRow, row)
    elif isinstance(store, PackedStore):
        raise InputError(f"{name} was published without its scan; leave --scan out")
    else:
        run = Run(store.path.resolve().parents[1])
        origin: Any = run.inject("test").rows()[row["case"]] if "case" in row else row
        source = str(origin.get("cohort", origin.get("family")))
        if source not in HELD_OUT and not load(run.config).fit[source].is_real:
            raise InputError(f"{name} is of the family {source}, it has no scan; leave --scan out")
        (parent,) = origin["parents"]
        scanned = next(one for one in run.ingest.rows() if one["id"] == parent)
    if "pose" not in scanned:
        raise InputError(f"{name} is empty: {scanned['reason']}")
    return scanned
