"""NIfTI files that are the same bytes again."""

import gzip
import io
from pathlib import Path

import numpy as np

SCANNER, ALIGNED = 1, 2  # what world coordinates are: those of the scan, or of a frame it was turned into


def write_nifti(path: Path, labels: np.ndarray, affine: np.ndarray) -> None:
    """Writes labels (i, j, k) on a scan's grid, with a (4, 4) affine to its RAS+ millimetres."""
    path.write_bytes(nifti_bytes(labels, affine, SCANNER, packed=path.suffix.lower() == ".gz"))


def nifti_bytes(labels: np.ndarray, affine: np.ndarray, world: int, packed: bool) -> bytes:
    """A NIfTI file of labels (i, j, k) with a (4, 4) affine to RAS+ millimetres.

    ``world`` is the code of both sform and qform.
    """
    import nibabel

    image = nibabel.Nifti1Image(labels, affine)
    image.set_sform(affine, world)
    image.set_qform(affine, world)
    image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    return gzipped(content) if packed else content


def gzipped(content: bytes) -> bytes:
    """Packed without time and name; `gzip.compress` would write another header in each version of Python."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=6, mtime=0) as stream:
        stream.write(content)
    return packed.getvalue()
