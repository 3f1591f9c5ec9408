"""Write NIfTI files with reproducible bytes."""

import gzip
import io
from pathlib import Path

import numpy as np

from calvaria.geometry.nifti_frames import has_qform

SCANNER, ALIGNED = 1, 2  # xform codes: scanner coordinates, or another aligned frame


def write_nifti(path: Path, labels: np.ndarray, affine: np.ndarray) -> None:
    """Write labels (i, j, k) on a scan's grid, with a (4, 4) affine to its RAS+ millimetres."""
    path.write_bytes(nifti_bytes(labels, affine, SCANNER, packed=path.suffix.lower() == ".gz"))


def nifti_bytes(labels: np.ndarray, affine: np.ndarray, world: int, packed: bool) -> bytes:
    """Return the bytes of a NIfTI file of labels (i, j, k) with a (4, 4) affine to RAS+ millimetres.

    Args:
        world: code of the sform, and of the qform if a qform can express the affine. Otherwise, such as for
            a tilted gantry, the qform's code is 0, as programs that prefer the qform would misplace labels.
        packed: whether to compress with gzip.
    """
    import nibabel

    image = nibabel.Nifti1Image(labels, affine)
    image.set_sform(affine, world)
    image.set_qform(affine, world if has_qform(affine, labels.shape) else 0)
    image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    return gzipped(content) if packed else content


def tilt_note(file: Path, affine: np.ndarray, shape: tuple[int, ...]) -> str | None:
    """Return a note for the user if a file is a NIfTI file without a qform, otherwise None."""
    if not file.name.lower().endswith((".nii", ".nii.gz")) or has_qform(affine, shape):
        return None
    return (
        f"{file}: its axes are not at right angles, as in the scan (a tilted gantry, or rounded directions), "
        "so it is written with an sform and no qform; ITK and programs based on it will refuse it"
    )


def gzipped(content: bytes) -> bytes:
    """Compress without timestamp and name; the header of `gzip.compress` depends on the Python version."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=6, mtime=0) as stream:
        stream.write(content)
    return packed.getvalue()
