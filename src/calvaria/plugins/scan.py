"""A scan of a skull, its entry in the catalogue, and a summary of its file.

The summary, two lines of text or JSON, lets the user check the file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["CT", "mask", "label volume"]


@dataclass(frozen=True)
class Entry:
    """One skull that a source offers, known without opening a volume."""

    id: str  # the source's name, a slash, and the skull's own id
    person: str  # the person as identified by the source; people, not scans, are split
    files: tuple[Path, ...] = ()  # existing files, or folders of DICOM slices, that it is read from
    fault: str | None = None  # why it cannot be read, such as a missing partner file

    @property
    def source(self) -> str:
        """The source's name."""
        return self.id.split("/", 1)[0]

    @property
    def own_id(self) -> str:
        """The skull's id within its source."""
        return self.id.split("/", 1)[1]


@dataclass(frozen=True)
class LeftOut:
    """A file that was detected but not read."""

    file: str
    reason: str


@dataclass(frozen=True)
class Origin:
    """Origin of voxels: the reader's information other than values and affine."""

    series: str | None = None  # of DICOM: description, kernel, spacing, number of slices
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()  # decisions and doubts of the reader, a sentence each
    meanings: Mapping[int, str] = field(default_factory=dict)  # of a segmentation: segment name by label


@dataclass(frozen=True)
class Summary:
    """Description of a file."""

    kind: Kind
    shape: tuple[int, ...]  # voxels along i, j, k, as stored
    spacing_mm: tuple[float, ...]  # along i, j, k
    tilt_deg: float  # largest deviation of the angle between two axes from 90 degrees
    value_range: tuple[float, float]  # HU for a CT, labels otherwise
    origin: Origin

    def lines(self) -> list[str]:
        """Return two lines: the volume, and remarks on it."""
        size = " x ".join(str(n) for n in self.shape)
        spacing = " x ".join(f"{mm:.3g}" for mm in self.spacing_mm)
        low, high = self.value_range
        values = f"{low:g} to {high:g} HU" if self.kind == "CT" else f"labels {low:g} to {high:g}"
        first = f"{self.kind}, {size} voxels of {spacing} mm, {values}"
        if self.tilt_deg >= LEAST_TILT_DEG:
            first += f", gantry tilt {self.tilt_deg:.1f} degrees"
        if self.origin.series:
            first += f"; series {self.origin.series}"
        if self.origin.meanings:
            first += "; " + ", ".join(f"{label} is {name}" for label, name in self.origin.meanings.items())
        remarks = list(self.origin.notes)
        if self.origin.left_out:
            remarks.append(describe_left_out(self.origin.left_out))
        return [first, "; ".join(remarks) if remarks else "nothing was left out"]

    def to_json(self) -> dict[str, Any]:
        """Return the complete summary."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "spacing_mm": [round(mm, 4) for mm in self.spacing_mm],
            "tilt_deg": round(self.tilt_deg, 2),
            "value_range": list(self.value_range),
            "series": self.origin.series,
            "labels": {str(label): name for label, name in self.origin.meanings.items()},
            "left_out": [{"file": one.file, "reason": one.reason} for one in self.origin.left_out],
            "notes": list(self.origin.notes),
        }


@dataclass(frozen=True)
class Scan:
    """One skull on the grid of its source."""

    labels: npt.NDArray[np.uint8]  # (i, j, k): 0 background, 1 bone, 2 implant; skull = label > 0
    affine: npt.NDArray[np.float64]  # (4, 4), voxel indices to RAS+ millimetres
    summary: Summary | None = None  # of the input; None for synthetic scans


LEAST_TILT_DEG = 0.5  # smaller tilts are rounding errors of the header


def summarise(
    kind: Kind,
    values: npt.NDArray[Any],
    affine: npt.NDArray[np.float64],
    origin: Origin,
) -> Summary:
    """Return the summary of (i, j, k) values with a (4, 4) affine to RAS+ millimetres."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    cosines = affine[:3, :3] / spacing
    between = np.abs(cosines.T @ cosines)[np.triu_indices(3, 1)].max()
    return Summary(
        kind,
        values.shape,
        tuple(float(mm) for mm in spacing),
        float(np.rad2deg(np.arcsin(min(between, 1.0)))),
        (float(values.min()), float(values.max())),
        origin,
    )


def describe_left_out(files: Iterable[LeftOut]) -> str:
    """Describe files grouped by reason, with one example each."""
    groups: dict[str, list[str]] = {}
    for one in files:
        groups.setdefault(one.reason, []).append(one.file)
    parts = []
    for reason, names in groups.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        parts.append(f"{names[0]}{more} ({reason})")
    return "left out: " + ", ".join(parts)
