"""Numbers of the report: summaries of the rows of earlier stages, formatted as text."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from calvaria.errors import StoreError
from calvaria.metrics.comparison import ArmComparison, interval, score_of, single
from calvaria.metrics.statistics import Interval
from calvaria.storage.rows import EvaluateRow, GatedRegistration, Network, ScreenRow, is_ensemble
from calvaria.utils.progress import duration


@dataclass(frozen=True)
class Quantity:
    """A measured quantity: key in the rows, name, unit and printed digits."""

    key: str
    name: str
    unit: str
    digits: int
    rises: bool = True  # whether higher is better

    @property
    def label(self) -> str:
        """Name and unit, for axes."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


DSC = Quantity("dsc", "DSC", "", 3)
HD95 = Quantity("hd95_mm", "HD95", "mm", 2, rises=False)
METRICS = (
    DSC,
    Quantity("bdsc_10mm", "bDSC, 10 mm", "", 3),
    Quantity("bdsc_10vox", "bDSC, 10 voxels", "", 3),
    HD95,
    Quantity("surface_dice_1mm", "Surface Dice, 1 mm", "", 3),
    Quantity("assd_mm", "ASSD", "mm", 2, rises=False),
    Quantity("rim_gap_mm", "Rim gap", "mm", 2, rises=False),
)
MEASURES = (
    Quantity("volume_ml", "Bone volume", "ml", 0),
    Quantity("width_mm", "Width", "mm", 0),
    Quantity("length_mm", "Length", "mm", 0),
    Quantity("height_mm", "Height", "mm", 0),
    Quantity("thickness_mm", "Vault thickness", "mm", 1),
)

FIDELITY = (
    Quantity("precision", "Precision", "", 2),
    Quantity("recall", "Recall", "", 2),
    Quantity("density", "Density", "", 2),
    Quantity("coverage", "Coverage", "", 2),
    Quantity("neighbour_accuracy", "1-NN accuracy", "", 2, rises=False),
)
REBUILT = (
    Quantity("dice", "Dice", "", 3),
    Quantity("surface95_voxels", "95 % surface distance", "voxels", 2, rises=False),
    Quantity("surface_mm", "Mean surface distance", "mm", 2, rises=False),
    Quantity("thickness_mm", "Vault thickness error", "mm", 2, rises=False),
)

GATES = (
    Quantity("similarity", "Dice with the target", "", 3),
    Quantity("folded", "Folded voxels", "fraction", 5),
    Quantity("least_jacobian", "Least Jacobian determinant", "", 2),
    Quantity("most_jacobian", "Greatest Jacobian determinant", "", 2),
    Quantity("distorted", "Distorted bone", "fraction", 4),
    Quantity("volume_ratio", "Bone volume ratio", "", 2),
)


def number(value: float | None, digits: int) -> str:
    """Format a number: ``∞`` for infinity, a dash for None and NaN."""
    if value is None or math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def spread(values: Sequence[float], digits: int) -> str:
    """Format mean ± standard deviation; the latter only for at least two values."""
    if not values:
        return "–"
    mean = number(float(np.mean(values)), digits)
    return f"{mean} ± {number(float(np.std(values, ddof=1)), digits)}" if len(values) > 1 else mean


def scores(rows: Iterable[EvaluateRow], metric: Quantity) -> list[float]:
    """Return one metric of every case, infinity for null."""
    return [score_of(row, metric.key) for row in rows]


@dataclass(frozen=True)
class Score:
    """One metric over the cases of an arm."""

    mean: float
    median: float
    digits: int
    best: bool = False  # whether no other arm has a better mean
    interval: str = ""  # of the mean

    @property
    def mean_text(self) -> str:
        """The formatted mean."""
        return number(self.mean, self.digits)

    @property
    def median_text(self) -> str:
        """The formatted median."""
        return number(self.median, self.digits)

    def __str__(self) -> str:
        """Format mean / median."""
        return f"{self.mean_text} / {self.median_text}"


def summarise(values: Sequence[float], digits: int) -> Score:
    """Return mean and median; one infinite value makes the mean infinite."""
    return Score(float(np.mean(values)), float(np.median(values)), digits)


def mark_best(arms: Sequence[Sequence[Score]]) -> list[list[Score]]:
    """Mark the arms with the best mean of each metric in METRICS, unless it is infinite."""
    columns = []
    for metric, column in zip(METRICS, zip(*arms, strict=True), strict=True):
        best = (max if metric.rises else min)(score.mean for score in column)
        columns.append([replace(score, best=score.mean == best and math.isfinite(best)) for score in column])
    return [list(row) for row in zip(*columns, strict=True)]


def best_arm(rows_of: dict[str, list[EvaluateRow]]) -> str:
    """Return the arm with the highest mean DSC, the first in a tie."""
    return max(rows_of, key=lambda arm: float(np.mean(scores(rows_of[arm], DSC))))


def by_recipe(rows: Sequence[EvaluateRow], recipes: Sequence[str]) -> list[Score | None]:
    """Return the DSC of each recipe's cases, None without cases."""
    groups = [scores((row for row in rows if row["recipe"] == recipe), DSC) for recipe in recipes]
    return [summarise(group, DSC.digits) if group else None for group in groups]


@dataclass(frozen=True)
class ComparisonRow:
    """Comparison of one arm with a baseline, as text."""

    arm: str
    baseline: str
    difference: str
    effect: str
    p_value: str
    verdict: str


ALPHA = 0.05  # significance level of corrected p-values


def comparison_table(comparisons: Sequence[ArmComparison]) -> list[ComparisonRow]:
    """Format differences in DSC with interval, effect size, corrected p-value and verdict."""
    table = []
    for one in comparisons:
        difference = one.result.difference
        better = "better" if difference.mean > 0 else "worse"
        table.append(
            ComparisonRow(
                one.arm,
                one.baseline,
                f"{difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]",
                f"{one.result.effect:+.2f}",
                p_text(one.corrected),
                better if one.corrected < ALPHA else "not significant",
            )
        )
    return table


def p_text(value: float) -> str:
    """Format a p-value."""
    return "< 0.001" if value < 0.001 else number(value, 3)


def p_equals(value: float) -> str:
    """Format a p-value within a sentence."""
    return f"p\u00a0{p_text(value)}" if value < 0.001 else f"p\u00a0=\u00a0{p_text(value)}"


def arm_scores(rows: Sequence[EvaluateRow], seed: int) -> list[Score]:
    """Return every metric over the cases of an arm, with the interval of its mean if that is finite."""
    alone, arm = single(rows), []
    for metric in METRICS:
        score = summarise(scores(alone, metric), metric.digits)
        if math.isfinite(score.mean):
            text = interval_text(interval(rows, metric.key, seed), metric.digits)
            score = replace(score, interval=text)
        arm.append(score)
    return arm


def interval_text(bounds: Interval, digits: int) -> str:
    """Format an interval, low to high."""
    return f"{number(bounds.low, digits)} to {number(bounds.high, digits)}"


def ensemble_dsc(rows: Sequence[EvaluateRow]) -> str:
    """Format the mean DSC of an arm's ensemble, a dash without one."""
    ensemble = [row for row in rows if is_ensemble(row)]
    return number(float(np.mean(scores(ensemble, DSC))), DSC.digits) if ensemble else number(None, 0)


@dataclass(frozen=True)
class Failure:
    """A prediction below the failure DSC of the config."""

    arm: str
    case: int
    seed: Network
    recipe: str
    person: str | None
    dsc: str


def failed(rows_of: dict[str, list[EvaluateRow]], least: float) -> list[Failure]:
    """Return all predictions below a DSC, worst first."""
    low = [
        (row["dsc"], arm, row)
        for arm, rows in rows_of.items()
        for row in rows
        if row["empty"] or row["dsc"] < least
    ]
    return [
        Failure(arm, row["case"], row["seed"], row["recipe"], row["person"], number(row["dsc"], DSC.digits))
        for _, arm, row in sorted(low, key=lambda item: (item[0], item[1], item[2]["case"]))
    ]


def rejections(rows: Iterable[ScreenRow]) -> list[tuple[str, int]]:
    """Count rejection reasons, grouped by their text without numbers."""
    reasons = (rejected["reason"] for row in rows for rejected in row["rejections"])
    return Counter(re.sub(r"\d+(\.\d+)?", "…", reason) for reason in reasons).most_common()


def failures(registrations: Sequence[GatedRegistration]) -> list[str]:
    """Return the rejected registrations, each with its reason."""
    return [f"{row['moving']} → {row['target']}: {row['fault']}" for row in registrations if row["fault"]]


@dataclass(frozen=True)
class MeasureRow:
    """One measure of a family's samples and of the training skulls."""

    label: str
    samples: str
    training: str
    accepted: str


def measure_table(samples: Sequence[ScreenRow], limits: dict[str, Any]) -> list[MeasureRow]:
    """Compare the measures of accepted samples with the training skulls and the accepted range.

    Args:
        limits: (low, high) of every measure; under ``training`` the measures of each training skull.
    """
    table = []
    for measure in MEASURES:
        low, high = limits.get(measure.key, (None, None))
        table.append(
            MeasureRow(
                measure.label,
                spread(measured((row["measures"] for row in samples), measure), measure.digits),
                spread(measured(limits["training"], measure), measure.digits),
                f"{number(low, measure.digits)} to {number(high, measure.digits)}",
            )
        )
    return table


def measured(measures: Iterable[Mapping[str, Any]], measure: Quantity) -> list[float]:
    """Return one measure of every skull that has it."""
    return [float(values[measure.key]) for values in measures if values.get(measure.key) is not None]


@dataclass(frozen=True)
class AuditRow:
    """The audit of one family, as text."""

    family: str
    fidelity: list[str]
    ratio: str
    p_value: str
    copies: int
    rebuilt: list[str] | None


def audit_table(audits: dict[str, Any]) -> list[AuditRow]:
    """Format the audits of all families."""
    table = []
    for family, audit in audits.items():
        memory, rebuilt = audit["memorisation"], audit["reconstruction"]
        table.append(
            AuditRow(
                family,
                [number(audit["fidelity"][one.key], one.digits) for one in FIDELITY],
                number(memory["ratio"], 2),
                p_text(memory["p_value"]),
                audit["copies_dropped"],
                [number(rebuilt[one.key], one.digits) for one in REBUILT] if rebuilt else None,
            )
        )
    return table


@dataclass(frozen=True)
class Cost:
    """Time and memory of a stage, over all of its jobs."""

    stage: str
    jobs: int
    seconds: float
    cpu_seconds: float
    memory_mb: float | None  # of the largest job

    @property
    def time(self) -> str:
        """The formatted wall time."""
        return duration(self.seconds)

    @property
    def cpu_time(self) -> str:
        """The formatted CPU time of all cores."""
        return duration(self.cpu_seconds)


def costs(folder: Path, stages: Sequence[str]) -> list[Cost]:
    """Read time and memory per stage from Snakemake's benchmark files, ``STAGE.tsv`` or any in ``STAGE/``.

    Args:
        stages: names of stages in the order of the workflow; others come last.
    """
    jobs: dict[str, list[dict[str, str]]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        stage = path.relative_to(folder).parts[0].removesuffix(".tsv")
        jobs.setdefault(stage, []).extend(_benchmark(path))
    known = [stage for stage in stages if stage in jobs]
    return [_cost(stage, jobs[stage]) for stage in known + sorted(set(jobs) - set(known))]


def _cost(stage: str, jobs: Sequence[dict[str, str]]) -> Cost:
    memory = [float(job["max_rss"]) for job in jobs if _is_number(job.get("max_rss"))]
    seconds = sum(float(job["s"]) for job in jobs if _is_number(job["s"]))
    busy = sum(float(job["cpu_time"]) for job in jobs if _is_number(job.get("cpu_time")))
    return Cost(stage, len(jobs), seconds, busy, max(memory, default=None))


def _benchmark(path: Path) -> list[dict[str, str]]:
    """Read the lines of a benchmark file, by column.

    Raises:
        StoreError: if it has no column ``s``.
    """
    header, *lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()] or [[]]
    if "s" not in header:
        raise StoreError(
            f"{path}: expected a benchmark file of Snakemake with a column 's'; delete it and run its job "
            "again"
        )
    return [dict(zip(header, line, strict=False)) for line in lines]


def _is_number(text: str | None) -> bool:
    try:
        return text is not None and math.isfinite(float(text))
    except ValueError:  # Snakemake writes "-" or "NA" for jobs too short to be measured
        return False
