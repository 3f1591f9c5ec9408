"""Writes NIfTI files that are the same bytes again."""

import gzip
from pathlib import Path

import numpy as np


def write_nifti(path: Path, labels: np.ndarray, affine: np.ndarray) -> None:
    """Writes labels (i, j, k) with a (4, 4) affine to RAS+ millimetres; packed if the name ends in .gz.

    The gzip header has no time and no name.
    """
    import nibabel

    image = nibabel.Nifti1Image(labels, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    if path.suffix.lower() != ".gz":
        path.write_bytes(image.to_bytes())
        return
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as stream,
    ):
        stream.write(image.to_bytes())
