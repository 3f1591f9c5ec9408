"""False alarms of every limit of the quality checks on sound heads: a part of benchmarks/ingest.md.

    python benchmarks/limits.py DATA [COUNT]

DATA holds ``skullfix_1mm``, ``skullfix_native`` and ``heads``. The first COUNT heads of each are used, by
default all.
"""

import sys
from pathlib import Path

import numpy as np

from calvaria.geometry.canonical import Canonical
from calvaria.skull import quality
from calvaria.skull.pose import find_pose
from calvaria.skull.vault_map import picture_vault
from calvaria.sources import Scan, catalogue, read
from calvaria.sources.ct import CtSource
from calvaria.sources.folder import FolderSource
from calvaria.sources.skullfix import SkullfixSource


def measures(scan: Scan) -> dict[str, float]:
    """Return the measures of one head that `calvaria.skull.quality` compares with limits."""
    own = Canonical.of(scan.labels, scan.affine)
    pose = find_pose(own.values, own.affine)
    vault = picture_vault(own.values, own.affine, pose.to_box(np.zeros(3)))
    holes = quality.hole_areas(vault)
    return {
        "span": float(quality.bone_span(own.values, own.affine).max()),
        "piece": quality.largest_share(own.values, own.affine),
        "residual": pose.residual_mm,
        "coverage": pose.coverage,
        "smallest size": float(pose.size.min()),
        "largest size": float(pose.size.max()),
        "thickness": quality.vault_thickness(vault),
        "share": quality.vault_share(vault),
        "hole": holes.largest_cm2,
        "holes": holes.all_cm2,
        "cut": holes.cut_cm2,
        "turned": float(not pose.upright),
    }


INFINITE = float("inf")
# Description of the limit, measure, allowed range, and severity of a violation.
LIMITS = (
    ("longest side of the bone, mm", "span", quality.SPAN_MM, "fault"),
    ("largest piece, share of the bone", "piece", (quality.LARGEST_PIECE, 1.0), "doubt"),
    ("distance to the template, mm", "residual", (0.0, quality.RESIDUAL_MM), "doubt"),
    ("distance to the template, mm", "residual", (0.0, quality.SKULL_RESIDUAL_MM), "fault"),
    ("share of the template's vault covered", "coverage", (quality.LEAST_COVERED, 1.0), "fault"),
    ("smallest size of three", "smallest size", (quality.SIZES[0], INFINITE), "doubt"),
    ("smallest size of three", "smallest size", (quality.POSSIBLE_SIZES[0], INFINITE), "fault"),
    ("largest size of three", "largest size", (0.0, quality.SIZES[1]), "doubt"),
    ("largest size of three", "largest size", (0.0, quality.POSSIBLE_SIZES[1]), "fault"),
    ("vault's thickness, mm", "thickness", quality.THICKNESS_MM, "doubt"),
    ("vault's thickness, mm", "thickness", (0.0, quality.SOLID_MM), "fault"),
    ("share of the vault with bone", "share", (quality.LEAST_VAULT, 1.0), "fault"),
    ("largest hole, cm2, of complete skulls", "hole", (0.0, quality.DEFECT_CM2), "fault"),
    ("holes together, cm2, of complete skulls", "holes", (0.0, quality.OPEN_CM2), "doubt"),
    ("vault out of view, cm2", "cut", (0.0, quality.CUT_CM2), "doubt"),
    ("axes are not those of the header", "turned", (0.0, 0.0), "fault"),
)


def limits_table(data: Path, count: int | None = None) -> str:
    """Format every limit and its number of violations, which are false alarms since all heads are sound."""
    sets: dict[str, dict] = {
        "SkullFix, 1 mm": {"x": FolderSource(kind="folder", path=data / "skullfix_1mm", limit=count)},
        "SkullFix, native": {
            "x": SkullfixSource(kind="skullfix", path=data / "skullfix_native", limit=count)
        },
        "head CTs": {"x": CtSource(kind="ct", path=data / "heads", pattern="*head*", limit=count)},
    }
    lines = [
        "| limit | severity | allowed | heads | least | median | most | beyond |",
        "|---" * 8 + "|",
    ]
    found = {name: [measures(read(one, e, 0)) for e in catalogue(one)] for name, one in sets.items()}
    for what, measure, (low, high), severity in LIMITS:
        allowed = f"{low:g} to {high:g}" if high < INFINITE else f"at least {low:g}"
        for name, heads in found.items():
            values = np.array([head[measure] for head in heads])
            beyond = np.count_nonzero((values < low) | (values > high))
            figures = " | ".join(f"{value:.3g}" for value in (values.min(), np.median(values), values.max()))
            lines.append(
                f"| {what} | {severity} | {allowed} | {name} | {figures} | {beyond} of {len(values)} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(limits_table(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
