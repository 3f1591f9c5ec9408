"""Accuracy of the prior alone: implants between interpolated surfaces, and factors that affect it.

    python benchmarks/bridging.py --run results/native

Draws the challenge's own defects of training and validation skulls on the scans' grids, leaving each training
skull out of its own prior. No network is used: the hole is the opening that the true implant covers. Test
people are not used, so the constants of ``reconstruction/surfaces/interpolation.py`` may be chosen by this
table.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from environment import header
from scipy.ndimage import binary_dilation

from calvaria import sources
from calvaria.config import Config, load
from calvaria.geometry.grid import BONE, IMPLANT, Grid
from calvaria.geometry.overlap import dice
from calvaria.geometry.resample import resample
from calvaria.reconstruction.native_case import NativeCase
from calvaria.reconstruction.surfaces.cut import cut_implant
from calvaria.reconstruction.surfaces.hole import hole_directions
from calvaria.reconstruction.surfaces.interpolation import (
    DEFAULT_PROCESS,
    GaussianProcess,
    interpolate,
    surface_distances,
)
from calvaria.reconstruction.surfaces.known import anchor_of
from calvaria.skull.vault_map import VaultPicture, inside_cone
from calvaria.storage.cohorts import cohort, vaults
from calvaria.storage.paths import Run

KNOWN = (12, 24)  # numbers of known skulls
TOO_WIDE = 3  # pixels of the vault map

# Changes of the hyperparameters, one at a time.
CHANGES: dict[str, GaussianProcess] = {
    "as it is": DEFAULT_PROCESS,
    "bone observed in the hole is ignored": replace(DEFAULT_PROCESS, iterations=1),
    "accepted within 0.6 mm": replace(DEFAULT_PROCESS, inlier_tolerance_mm=0.6),
    "accepted within 2 mm": replace(DEFAULT_PROCESS, inlier_tolerance_mm=2.0),
    "noise half as large": replace(DEFAULT_PROCESS, noise_mm=0.15),
    "deviations half as long": replace(DEFAULT_PROCESS, length_rad=0.25),
    "deviations twice as long": replace(DEFAULT_PROCESS, length_rad=1.0),
    "deviations half as large": replace(DEFAULT_PROCESS, amplitude_mm=0.35),
    "deviations twice as large": replace(DEFAULT_PROCESS, amplitude_mm=1.4),
    "nothing from the other side": replace(DEFAULT_PROCESS, mirror_correlation=0.0),
    "a wider context": replace(DEFAULT_PROCESS, context_radius_rad=0.4, mirrored_context_radius_rad=0.25),
}


@dataclass(frozen=True)
class Skull:
    """A skull with the challenge's own defect."""

    vault: VaultPicture  # of the remaining bone
    hole: np.ndarray  # (SIZE, SIZE) bool
    bone: np.ndarray  # (i, j, k) bool, cropped
    implant: np.ndarray  # (i, j, k) bool, cropped
    to_head: np.ndarray  # (4, 4) voxels of the crop to millimetres from the anchor
    known: np.ndarray  # (n, 2, p) surfaces of other training skulls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--every", type=int, default=3, help="use every n-th training skull")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    run = Run(given.run)
    config = load(run.config)
    members = [row["id"] for row in cohort(run, "training")]
    known = surface_distances([VaultPicture(*one) for one in vaults(run, members)])
    chosen = members[:: given.every]
    skulls = [
        *(skull(run, config, one, np.delete(known, members.index(one), axis=0)) for one in chosen),
        *(skull(run, config, row["id"], known) for row in cohort(run, "validation")),
    ]
    rows = []

    def tried(name: str, process: GaussianProcess, wide: int = 0, count: int | None = None) -> None:
        found = np.array([dsc(one, process, wide, count) for one in skulls])
        split = (found[: len(chosen)].mean(), found[len(chosen) :].mean())
        figures = (found.mean(), np.median(found), found.min(), *split)
        rows.append(f"| {name} | {' | '.join(f'{figure:.4f}' for figure in figures)} |")
        print(rows[-1], flush=True)

    for name, process in CHANGES.items():
        tried(name, process)
    tried(f"hole drawn {TOO_WIDE} pixels too wide", DEFAULT_PROCESS, wide=TOO_WIDE)
    tried("the same, observed bone ignored", replace(DEFAULT_PROCESS, iterations=1), wide=TOO_WIDE)
    for count in KNOWN:
        tried(f"{count} known skulls", DEFAULT_PROCESS, count=count)
    lines = [
        header("Bridging: surfaces across a hole", "python " + " ".join(sys.argv)),
        "",
        f"DSC with the true implant on the scans' grids; {len(chosen)} training and "
        f"{len(skulls) - len(chosen)} validation skulls of the run `{config.name}` with the challenge's own "
        f"defect, {len(known)} known skulls. No network is used.",
        "",
        "| | mean | median | worst | mean of training, each without itself | mean of validation |",
        "|---|---|---|---|---|---|",
        *rows,
    ]
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def skull(run: Run, config: Config, id: str, known: np.ndarray) -> Skull:
    """Read a scan with its own defect."""
    (row,) = (row for row in run.ingest.rows() if row["id"] == id)
    (entry,) = (one for one in sources.catalogue(config.ingest.sources) if one.id == id)
    scan = sources.read(config.ingest.sources, entry, config.seed)
    grid: Grid = config.grid.voxels()
    pose, anchor = np.array(row["pose"]), anchor_of(config)
    labels = resample(scan.labels, scan.affine, pose, grid)
    case = NativeCase(labels, scan.labels, scan.affine, pose)
    vault = case.vault(anchor)
    hole = hole_directions(vault, labels == IMPLANT, grid, anchor)
    places = np.argwhere(scan.labels == IMPLANT)
    margin = np.ceil(20 / np.linalg.norm(scan.affine[:3, :3], axis=0)).astype(int)
    low = np.maximum(places.min(axis=0) - margin, 0)
    box = tuple(slice(a, b) for a, b in zip(low, places.max(axis=0) + margin + 1, strict=True))
    to_head = case.to_head(anchor)
    to_head[:3, 3] += to_head[:3, :3] @ low
    part = scan.labels[box]
    return Skull(vault, hole, part == BONE, part == IMPLANT, to_head, known)


def dsc(one: Skull, process: GaussianProcess, wide: int, count: int | None) -> float:
    """Return the DSC of a cut in a widened hole, with ``count`` known skulls."""
    hole = one.hole
    if wide:
        hole = binary_dilation(hole, np.ones((3, 3)), iterations=wide) & inside_cone()
    whole = interpolate(one.vault, hole, one.known[:count], process)
    return dice(cut_implant(whole, hole, one.bone, one.to_head).whole(), one.implant)


if __name__ == "__main__":
    main()
