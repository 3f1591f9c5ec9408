"""Write NRRD files with reproducible bytes, also as segmentations of 3D Slicer (``.seg.nrrd``).

pynrrd would include a timestamp. Format: https://teem.sourceforge.net/nrrd/format.html
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calvaria.storage.nifti_file import gzipped


@dataclass(frozen=True)
class Segment:
    """Name and colour of a label in Slicer."""

    name: str
    colour: tuple[float, float, float]  # red, green, blue, 0 to 1


def nrrd_bytes(labels: np.ndarray, affine: np.ndarray, segments: Mapping[int, Segment]) -> bytes:
    """Return the bytes of an NRRD file of uint8 labels (i, j, k) with a (4, 4) affine to RAS+ millimetres.

    Args:
        segments: segments by label; empty for a plain volume instead of a segmentation.
    """
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine + 0.0  # avoid -0.0
    directions = " ".join(_vector(lps[:3, axis]) for axis in range(3))
    lines = [
        "NRRD0004",
        "type: uint8",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, labels.shape))}",
        f"space directions: {directions}",
        "kinds: domain domain domain",
        "encoding: gzip",
        f"space origin: {_vector(lps[:3, 3])}",
    ]
    whole = " ".join(f"0 {n - 1}" for n in labels.shape)
    for number, (label, segment) in enumerate(segments.items()):
        fields = {
            "ID": f"Segment_{label}",
            "Name": segment.name,
            "Color": " ".join(map(str, segment.colour)),
            "LabelValue": label,
            "Layer": 0,
            "Extent": whole,
        }
        lines += [f"Segment{number}_{key}:={value}" for key, value in fields.items()]
    if segments:
        lines += [
            "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
            "Segmentation_MasterRepresentation:=Binary labelmap",
            "Segmentation_ReferenceImageExtentOffset:=0 0 0",
        ]
    data = gzipped(labels.tobytes("F"))
    return ("\n".join(lines) + "\n\n").encode() + data


def _vector(values: np.ndarray) -> str:
    return f"({','.join(repr(float(value)) for value in values)})"
