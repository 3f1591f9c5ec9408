"""The plots of the report, SVG files in data URIs, drawn with Matplotlib's object interface."""

import io
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from calvaria.config import Config
from calvaria.metrics.comparison import ArmComparison, by_case, curves, interval, people_of
from calvaria.metrics.statistics import per_person
from calvaria.report.tables import DSC, FIDELITY, GATES, HD95, MEASURES, Quantity, measured, scores
from calvaria.storage.rows import EvaluateRow, ScreenRow

# Okabe-Ito palette, distinguishable with any colour vision; markers differ as well.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#666666")
STYLES = ("-", "--", "-.", ":")
INK, PALE = "#333333", "#dddddd"
CSS_DPI = 98  # CSS pixels per inch of a plot


@dataclass(frozen=True)
class Plot:
    """A plot, with the width at which its text has the size of the page's small print."""

    source: str  # a data URI
    width: int  # CSS pixels


def data_uri(content: bytes, kind: str = "png") -> str:
    """Return an image file as a data URI."""
    return f"data:image/{kind};base64,{b64encode(content).decode()}"


def picture_uri(picture: np.ndarray) -> str:
    """Return an (h, w, 3) uint8 image as a PNG in a data URI; a palette reduces it to a third."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).quantize(192, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return data_uri(file.getvalue())


def measure_figure(samples: Mapping[str, Sequence[ScreenRow]], training: Sequence[dict[str, Any]]) -> Plot:
    """Plot the measures of every sample by family, with the range of the training skulls as a band."""
    figure, panels = new_figure(len(MEASURES), 2.3, 0.75 + 0.32 * len(samples))
    for panel, measure in zip(panels, MEASURES, strict=True):
        population = measured(training, measure)
        if population:
            panel.axvspan(min(population), max(population), color=PALE, lw=0)
        for i, rows in enumerate(samples.values()):
            values = measured((row["measures"] for row in rows), measure)
            panel.plot(values, i + _spread(len(values), 0.28), "o", ms=3, mew=0, alpha=0.65, color=colour(i))
        _rows(panel, list(samples))
        panel.set_xlabel(measure.label)
    return plot_of(figure)


def score_figure(rows_of: Mapping[str, Sequence[EvaluateRow]]) -> Plot:
    """Plot the DSC and HD95 of every case by arm, with quartiles and median.

    Empty predictions, whose HD95 is infinite, are crosses at the right edge.
    """
    figure, panels = new_figure(2, 5.2, 0.8 + 0.42 * len(rows_of))
    for panel, metric in zip(panels, (DSC, HD95), strict=True):
        _score_panel(panel, rows_of, metric)
        _rows(panel, list(rows_of))
        panel.set_xlabel(metric.label if metric.unit else f"{metric.name} (no unit, 1 is perfect)")
    return plot_of(figure)


def difference_figure(
    rows_of: Mapping[str, Sequence[EvaluateRow]], comparisons: Sequence[ArmComparison]
) -> Plot | None:
    """Plot each person's difference in DSC to each baseline, with mean and interval; None for one arm."""
    baselines = list(dict.fromkeys(one.baseline for one in comparisons))
    if not baselines:
        return None
    arms = [name for name in rows_of if any(one.arm == name for one in comparisons)]
    figure, panels = new_figure(len(baselines), 10.4 / len(baselines), 0.8 + 0.36 * len(arms))
    for panel, baseline in zip(panels, baselines, strict=True):
        people = people_of(rows_of[baseline])
        base = by_case(rows_of[baseline], DSC.key)
        panel.axvline(0, color=INK, lw=0.9)
        for one in comparisons:
            if one.baseline != baseline:
                continue
            i = arms.index(one.arm)
            scored = by_case(rows_of[one.arm], DSC.key)
            changes = [scored[case] - base[case] for case in base]
            values = list(per_person(changes, [people[case] for case in base]).values())
            offsets = i + _spread(len(values), 0.24)
            panel.plot(values, offsets, "o", ms=3.5, mew=0, alpha=0.6, color=colour(i))
            over = one.result.difference
            panel.plot([over.low, over.high], [i, i], color=INK, lw=2)
            panel.plot([over.mean], [i], "D", ms=5, color=INK)
        _rows(panel, arms)
        panel.set_xlabel(f"difference in DSC to {baseline} (no unit; right of 0 is better)")
    return plot_of(figure)


def samples_figure(config: Config, rows_of: Mapping[str, Sequence[EvaluateRow]]) -> Plot | None:
    """Plot mean DSC with its interval by number of synthetic skulls; None if no arms differ in it."""
    groups = curves(config.train.arms)
    if not groups:
        return None
    figure, (panel,) = new_figure(1, 5.2, 2.6)
    for number, (name, arms) in enumerate(groups.items()):
        x = [config.train.arms[arm].samples or config.sample.count for arm in arms]
        intervals = [interval(rows_of[arm], DSC.key, config.seed) for arm in arms]
        means = np.array([one.mean for one in intervals])
        errors = [means - [one.low for one in intervals], [one.high for one in intervals] - means]
        panel.errorbar(
            x, means, np.array(errors), marker="o", ms=4, lw=1.2, capsize=3, color=colour(number), label=name
        )
    panel.set_xscale("log")
    shown = [
        config.train.arms[arm].samples or config.sample.count for arms in groups.values() for arm in arms
    ]
    counts = sorted(set(shown))
    panel.set_xticks(counts, [str(count) for count in counts])
    panel.set_xticks([], minor=True)
    panel.set_xlabel("synthetic skulls of each family")
    panel.set_ylabel("DSC (no unit, 1 is perfect)")
    panel.grid(color=PALE, lw=0.6)
    panel.legend(frameon=False)
    return plot_of(figure)


def _score_panel(panel: Any, rows_of: Mapping[str, Sequence[EvaluateRow]], metric: Quantity) -> None:
    everything = [value for rows in rows_of.values() for value in scores(rows, metric)]
    edge = 1.08 * max((value for value in everything if math.isfinite(value)), default=1.0) or 1.0
    for i, rows in enumerate(rows_of.values()):
        values = np.array(scores(rows, metric))
        finite = np.isfinite(values)
        shown = np.where(finite, values, edge)
        height = i + _spread(len(values), 0.26)
        low, middle, high = np.quantile(shown, [0.25, 0.5, 0.75])
        panel.barh(i, high - low, left=low, height=0.66, color=PALE, lw=0)
        panel.plot([middle, middle], [i - 0.33, i + 0.33], color=INK, lw=1.6)
        panel.plot(shown[finite], height[finite], "o", ms=3.5, mew=0, alpha=0.7, color=colour(i))
        panel.plot(shown[~finite], height[~finite], "x", ms=5, mew=1.4, color=INK)
    if any(math.isinf(value) for value in everything):
        panel.axvline(edge, color=INK, lw=0.8, ls=":")
        panel.annotate("∞", (edge, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom")


def curve_figure(steps: Sequence[Mapping[str, Any]]) -> Plot | None:
    """Plot the training log of a family, one panel per quantity; None if it is empty."""
    names = [name for name in dict.fromkeys(key for row in steps for key in row) if name != "step"]
    names = [name for name in names if len(_curve(steps, name)[0]) > 1]
    if not names:
        return None
    figure, panels = new_figure(len(names), 2.7, 1.9, share=False)
    for i, (panel, name) in enumerate(zip(panels, names, strict=True)):
        x, y = _curve(steps, name)
        panel.plot(x, y, color=colour(i), lw=1.2)
        panel.set_xlabel("gradient step")
        panel.set_ylabel(name.replace("_", " ") + " (no unit)")
        panel.grid(color=PALE, lw=0.6)
    return plot_of(figure)


def gates_figure(rows_of: Mapping[str, Sequence[Mapping[str, Any]]]) -> Plot | None:
    """Plot the measures that gates check for every warp, rejected ones as crosses; None without warps."""
    warps = {
        name: [({**row, **row.get("parameters", {})}, row["fault"]) for row in rows]
        for name, rows in rows_of.items()
    }
    shown = [gate for gate in GATES if any(gate.key in row for rows in warps.values() for row, _ in rows)]
    if not shown:
        return None
    figure, panels = new_figure(len(shown), 2.3, 0.75 + 0.42 * len(warps))
    for panel, gate in zip(panels, shown, strict=True):
        for i, rows in enumerate(warps.values()):
            for fault, marker in ((False, "o"), (True, "x")):
                values = [row[gate.key] for row, reason in rows if gate.key in row and bool(reason) == fault]
                tint = INK if fault else colour(i)
                offsets = i + _spread(len(values), 0.28)
                panel.plot(values, offsets, marker, ms=4 if fault else 3, alpha=0.7, color=tint)
        _rows(panel, list(warps))
        panel.set_xlabel(gate.label)
    return plot_of(figure)


def audit_figure(audits: Mapping[str, Any]) -> Plot:
    """Plot fidelity and diversity by family, and the distances to the nearest training skull."""
    figure, panels = new_figure(len(FIDELITY) + 1, 1.9, 0.75 + 0.32 * len(audits))
    for panel, quantity in zip(panels, FIDELITY, strict=False):
        for i, audit in enumerate(audits.values()):
            panel.plot(audit["fidelity"][quantity.key], i, "o", ms=6, mew=0, color=colour(i))
        if quantity.key == "neighbour_accuracy":
            panel.axvline(0.5, color=INK, lw=0.8, ls=":")
        panel.set_xlim(-0.03, None if quantity.key == "density" else 1.03)
        _rows(panel, list(audits))
        panel.set_xlabel(quantity.label)
    panel = panels[-1]
    held_out = next(iter(audits.values()))["memorisation"]["held_out_nearest"]
    panel.axvspan(min(held_out), max(held_out), color=PALE, lw=0)
    for i, audit in enumerate(audits.values()):
        nearest = audit["memorisation"]["nearest"]
        offsets = i + _spread(len(nearest), 0.28)
        panel.plot(nearest, offsets, "o", ms=3, mew=0, alpha=0.65, color=colour(i))
    _rows(panel, list(audits))
    panel.set_xlabel("Distance to the nearest training skull")
    return plot_of(figure)


def training_figure(steps_of: Mapping[str, Sequence[Mapping[str, Any]]]) -> Plot | None:
    """Plot the training loss and validation error of every arm."""
    figure, panels = new_figure(2, 5.2, 2.7, share=False)
    names = {"loss": "training loss (no unit)", "validation_error": "validation error (1 - DSC)"}
    drawn = False
    for panel, (name, label) in zip(panels, names.items(), strict=True):
        for i, (arm, steps) in enumerate(steps_of.items()):
            x, y = _curve(steps, name)
            if len(x):
                drawn = True
                shown = _smooth(y) if name == "loss" else y
                panel.plot(x, shown, STYLES[i % 4], color=colour(i), lw=1.3, label=arm)
        panel.set_xlabel("gradient step")
        panel.set_ylabel(label)
        panel.grid(color=PALE, lw=0.6)
    if not drawn:
        return None
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return plot_of(figure)


def _curve(steps: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """Return the steps at which a quantity was logged, and its values."""
    points = [(row["step"], row[name]) for row in steps if isinstance(row.get(name), int | float)]
    return [x for x, _ in points], [y for _, y in points]


def _smooth(values: Sequence[float]) -> np.ndarray:
    """Return a running mean over a fiftieth of the curve, so that several curves can be distinguished."""
    window = max(1, len(values) // 50)
    padded = np.pad(np.asarray(values, float), (window - 1, 0), mode="edge")
    return np.convolve(padded, np.full(window, 1 / window), mode="valid")


def new_figure(columns: int, width: float, height: float, share: bool = True) -> tuple[Any, Sequence[Any]]:
    """Create a figure with panels side by side; sizes in inches per panel."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, columns, sharey=share, squeeze=False)[0]
    for panel in panels:
        panel.tick_params(labelsize=8, colors=INK)
        panel.xaxis.label.set_size(9)
        panel.yaxis.label.set_size(9)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    return figure, panels


def _rows(panel: Any, names: Sequence[str]) -> None:
    """Label the rows of a panel, the first on top."""
    panel.set_yticks(range(len(names)), names)
    panel.grid(axis="x", color=PALE, lw=0.6)
    panel.set_axisbelow(True)
    panel.set_ylim(len(names) - 0.4, -0.6)


def _spread(count: int, width: float) -> np.ndarray:
    """Return deterministic (count,) offsets that separate points."""
    golden = (np.arange(count) * 0.6180339887) % 1.0
    return (2 * golden - 1) * width


def colour(i: int) -> str:
    """Return the colour of the i-th family or arm."""
    return COLOURS[i % len(COLOURS)]


def plot_of(figure: Any) -> Plot:
    """Return a figure as a plot, with the same bytes every time."""
    import matplotlib

    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "calvaria"}):  # deterministic ids
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return Plot(data_uri(file.getvalue(), "svg+xml"), round(figure.get_figwidth() * CSS_DPI))
