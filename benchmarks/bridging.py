"""Accuracy of interpolating the vault across the challenge's own defects, and factors that affect it.

    python benchmarks/bridging.py --run results/skullfix

Interpolates the holes of training and validation skulls, leaving each training skull out of its own model.
Test people are not used, so the constants of ``reconstruction/fine/interpolation.py`` may be chosen by this
table.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from environment import header

from calvaria.config import load
from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.reconstruction.fine.inputs import Frame
from calvaria.reconstruction.fine.interpolation import (
    DEFAULT_PROCESS,
    GaussianProcess,
    surface_distances,
)
from calvaria.reconstruction.fine.training import fine_labels
from calvaria.reconstruction.fine.window import Window, window_around
from calvaria.reconstruction.masks import dilate
from calvaria.skull.vault_map import VaultPicture
from calvaria.storage.paths import Run

KNOWN = (12, 24)  # numbers of known skulls
TOO_WIDE = 3  # voxels of the run's grid

# Changes of the hyperparameters, one at a time.
CHANGES: dict[str, GaussianProcess] = {
    "as it is": DEFAULT_PROCESS,
    "bone observed in the hole is ignored": replace(DEFAULT_PROCESS, iterations=1),
    "five rounds": replace(DEFAULT_PROCESS, iterations=5),
    "accepted within 2 mm": replace(DEFAULT_PROCESS, inlier_tolerance_mm=2.0),
    "deviations half as long": replace(DEFAULT_PROCESS, length_rad=0.25),
    "deviations twice as long": replace(DEFAULT_PROCESS, length_rad=1.0),
    "nothing from the other side": replace(DEFAULT_PROCESS, mirror_correlation=0.0),
}


@dataclass(frozen=True)
class Skull:
    """A skull with the challenge's own defect, cropped to the window."""

    vault: VaultPicture  # of the remaining bone
    bone: np.ndarray  # (x, y, z) bool on the fine window
    implant: np.ndarray  # (x, y, z) bool on the fine window
    missing: np.ndarray  # (i, j, k) bool on the run's grid
    window: Window
    known: np.ndarray  # (n, 2, p) surfaces of other training skulls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    run = Run(given.run)
    config = load(run.config)
    frame = Frame.of(config)
    read = [
        (name == "training", labels)
        for name in ("training", "validation")
        for labels in fine_labels(run, config, name)
    ]
    training = sum(member for member, _ in read)
    known = surface_distances([frame.vault_image(labels > 0) for member, labels in read if member])
    skulls = [
        skull(labels, np.delete(known, number, axis=0) if member else known, frame)
        for number, (member, labels) in enumerate(read)
    ]
    rows = []

    def tried(
        name: str,
        process: GaussianProcess = DEFAULT_PROCESS,
        wide: int = 0,
        count: int | None = None,
    ) -> None:
        found = np.array([dsc(one, frame, process, wide, count) for one in skulls])
        split = (found[:training].mean(), found[training:].mean())
        figures = (found.mean(), np.median(found), found.min(), *split)
        rows.append(f"| {name} | {' | '.join(f'{figure:.3f}' for figure in figures)} |")
        print(rows[-1], flush=True)

    for name, process in CHANGES.items():
        tried(name, process)
    tried(f"hole drawn {TOO_WIDE} voxels too wide", wide=TOO_WIDE)
    once = replace(DEFAULT_PROCESS, iterations=1)
    tried("the same, observed bone ignored", once, wide=TOO_WIDE)
    for count in KNOWN:
        tried(f"{count} known skulls", count=count)
    lines = [
        header("Bridging: surfaces across a hole", "python " + " ".join(sys.argv)),
        "",
        f"DSC with the true implant on the fine grid ({frame.fine.spacing_mm:.3g} mm); {training} training "
        f"and {len(skulls) - training} validation skulls of the run `{config.name}` with the challenge's own "
        "defect, given the implant's voxels on the canonical grid. No network is used.",
        "",
        "| | mean | median | worst | mean of training, each without itself | mean of validation |",
        "|---|---|---|---|---|---|",
        *rows,
    ]
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def skull(labels: np.ndarray, known: np.ndarray, frame: Frame) -> Skull:
    """Return a skull with its own defect from (x, y, z) labels on the fine grid."""
    factor = frame.settings.factor
    x, y, z = frame.grid.shape
    blocks = (labels == IMPLANT).reshape(x, factor, y, factor, z, factor)
    missing = blocks.any(axis=(1, 3, 5))
    window = window_around(missing, frame.settings, frame.grid)
    part = window.slices(factor)
    vault = frame.vault_image(labels == BONE)
    return Skull(vault, labels[part] == BONE, labels[part] == IMPLANT, missing, window, known)


def dsc(one: Skull, frame: Frame, process: GaussianProcess, wide: int, count: int | None) -> float:
    """Return the DSC of interpolation and implant for a widened hole and ``count`` known skulls."""
    missing = dilate(one.missing, wide) if wide else one.missing
    known = one.known[:count]
    depth, hole = frame.interpolated(one.vault, missing[one.window.slices()], known, one.window, process)
    bridge = (depth > 0) & (hole > 0.5) & ~one.bone
    return float(2 * (bridge & one.implant).sum() / (bridge.sum() + one.implant.sum()))


if __name__ == "__main__":
    main()
