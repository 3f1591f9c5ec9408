"""Compare generated SkullFix-like defects with the real ones; write benchmarks/defect_distribution.md.

    .venv/bin/python benchmarks/defect_distribution.py

The real cases are those of SkullFix at 2 mm (see defect_data.py). The skulls at even positions in the list
of ids determine the defaults of the recipe rounded_box; those at odd positions are compared with defects
that the recipe cuts into the same skulls.
"""

from pathlib import Path

import edt
import numpy as np
from defect_data import GRID, skulls
from scipy.stats import ks_2samp

from calvaria.config import Inject
from calvaria.defects.injection import inject_defect
from calvaria.geometry.components import bounding_box
from calvaria.geometry.grid import IMPLANT
from calvaria.seeds import generator
from calvaria.skull.vault import find_vault

MEASURES = {
    "volume": "ml",
    "extent x": "mm",
    "extent y": "mm",
    "extent z": "mm",
    "azimuth": "deg",
    "elevation": "deg",
    "thickness": "mm",
}
PER_SKULL = 4
PERMUTATIONS = 9999
ROOT = Path(__file__).parents[1]
INJECT = Inject.model_validate({"recipes": {"box": {"kind": "rounded_box"}}})


def measure(labels: np.ndarray) -> list[float]:
    """Return the measures of one case's implant."""
    vault = find_vault((labels > 0).astype(np.uint8), GRID)
    box = bounding_box(labels, IMPLANT)
    assert box is not None
    mask = labels[box] == IMPLANT
    volume = np.count_nonzero(mask) * GRID.spacing_mm**3 / 1000
    extents = [(part.stop - part.start) * GRID.spacing_mm for part in box]
    centroid = [
        float(np.mean(GRID.centres(axis)[box[axis]][index])) - vault.centre_mm[axis]
        for axis, index in enumerate(np.nonzero(mask))
    ]
    x, y, z = centroid
    azimuth = float(np.rad2deg(np.arctan2(y, x)))
    elevation = float(np.rad2deg(np.arctan2(z, np.hypot(x, y))))
    # In a slab, the mean distance to the nearer face is a quarter of the thickness.
    depth = edt.edt(np.asfortranarray(np.pad(mask, 1)), anisotropy=(GRID.spacing_mm,) * 3, parallel=1)
    return [volume, *extents, azimuth, elevation, 4 * float(depth[depth > 0].mean())]


def generated(
    id: str, skull: np.ndarray, inject: Inject = INJECT, per_skull: int = PER_SKULL
) -> list[list[float]]:
    """Return the measures of defects that the recipe cuts into a skull."""
    return [
        measure(inject_defect(skull, GRID, inject, lambda k, n=n: generator(5, id, n, k)).labels)
        for n in range(per_skull)
    ]


def energy(a: np.ndarray, b: np.ndarray, seed: int = 0) -> float:
    """Return the p-value of a permutation test of the energy distance of (n, d) and (m, d) rows.

    Columns are standardised. Source: Szekely and Rizzo 2004, Testing for equal distributions in high
    dimension.
    """
    both = np.concatenate([a, b])
    both = (both - both.mean(axis=0)) / both.std(axis=0)
    distances = np.linalg.norm(both[:, None] - both[None], axis=-1)
    first = np.zeros(len(both), bool)
    first[: len(a)] = True

    def statistic(first: np.ndarray) -> float:
        u, v = first / first.sum(), ~first / (~first).sum()
        return float(2 * u @ distances @ v - u @ distances @ u - v @ distances @ v)

    rng, found = np.random.default_rng(seed), statistic(first)
    larger = sum(statistic(rng.permutation(first)) >= found for _ in range(PERMUTATIONS))
    return (1 + larger) / (1 + PERMUTATIONS)


def figure(real: np.ndarray, ours: np.ndarray, target: Path) -> None:
    """Plot histograms of every measure, and the positions of the implants on the vault."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(2, 4, figsize=(12, 5.6), layout="constrained")
    for axis, (column, (name, unit)) in zip(axes.flat[:7], enumerate(MEASURES.items()), strict=True):
        values = np.concatenate([real[:, column], ours[:, column]])
        bins = np.linspace(values.min(), values.max(), 15)
        for rows, colour, label in ((real, "#0072b2", "real"), (ours, "#e69f00", "generated")):
            axis.hist(rows[:, column], bins, density=True, histtype="step", color=colour, label=label, lw=2)
        axis.set_xlabel(f"{name} ({unit})")
        axis.set_yticks([])
    places = axes.flat[7]
    places.plot(ours[:, 4], ours[:, 5], ".", color="#e69f00", ms=4)
    places.plot(real[:, 4], real[:, 5], "o", color="#0072b2", ms=4)
    places.set_xlabel("azimuth (deg)")
    places.set_ylabel("elevation (deg)")
    axes.flat[0].legend(frameon=False)
    drawn.savefig(target, dpi=90)
    plt.close(drawn)


def report(heads: dict[str, np.ndarray]) -> str:
    """Plot the comparison on the skulls that determine no default, and return it as Markdown."""
    ids = list(heads)[1::2]
    real = np.array([measure(heads[id]) for id in ids])
    ours = np.concatenate([generated(id, (heads[id] > 0).astype(np.uint8)) for id in ids])
    figure(real, ours, ROOT / "docs" / "pictures" / "defects_distribution.png")
    lines = [
        f"{len(real)} real implants, {len(ours)} generated ones ({PER_SKULL} on each of the same skulls).",
        "",
        "| measure | real, mean ± sd | generated, mean ± sd | Kolmogorov-Smirnov p |",
        "|---|---:|---:|---:|",
    ]
    for column, (name, unit) in enumerate(MEASURES.items()):
        a, b = real[:, column], ours[:, column]
        cells = [f"{rows.mean():.1f} ± {rows.std(ddof=1):.1f}" for rows in (a, b)]
        lines.append(f"| {name}, {unit} | {' | '.join(cells)} | {ks_2samp(a, b).pvalue:.2f} |")
    lines += ["", f"Energy distance of all measures together: p = {energy(real, ours):.3f}"]
    first = ours[::PER_SKULL]
    lines[-1] += f" ({energy(real, first):.3f} with one generated implant a skull)."
    return "\n".join(lines)


if __name__ == "__main__":
    page = ROOT / "benchmarks" / "defect_distribution.md"
    before, _, rest = page.read_text(encoding="utf-8").partition("<!-- measured -->\n")
    _, _, after = rest.partition("<!-- end -->\n")
    text = f"{before}<!-- measured -->\n{report(skulls())}\n<!-- end -->\n{after}"
    page.write_text(text, encoding="utf-8")
