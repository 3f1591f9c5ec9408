"""Comparison of arms: scores by case, intervals, paired tests, and curves over the number of samples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from calvaria import seeds
from calvaria.config import Arm
from calvaria.metrics.statistics import Comparison, Interval, clustered_mean, compare, holm
from calvaria.storage.rows import EvaluateRow, is_ensemble

TESTED = "dsc"


@dataclass(frozen=True)
class ArmComparison:
    """The comparison of an arm with a baseline, by DSC."""

    arm: str
    baseline: str
    result: Comparison
    corrected: float  # p-value with Holm correction, over all comparisons of the run


def score_of(row: EvaluateRow, key: str) -> float:
    """Return the score named ``key``, infinity for null."""
    value = cast(Mapping[str, Any], row)[key]
    return math.inf if value is None else float(value)


def by_case(rows: Sequence[EvaluateRow], key: str) -> dict[int, float]:
    """Return one score of every case: the mean over an arm's networks, infinite if one is null."""
    values: dict[int, list[float]] = {}
    for row in single(rows):
        values.setdefault(row["case"], []).append(score_of(row, key))
    return {case: float(np.mean(scores)) for case, scores in sorted(values.items())}


def single(rows: Sequence[EvaluateRow]) -> list[EvaluateRow]:
    """Return the rows of single networks, without those of their ensemble."""
    return [row for row in rows if not is_ensemble(row)]


def people_of(rows: Sequence[EvaluateRow]) -> dict[int, str]:
    """Return the person of every case; a case without a known person counts as a separate one."""
    return {row["case"]: str(row["person"] or f"case {row['case']}") for row in rows}


def interval(rows: Sequence[EvaluateRow], key: str, seed: int) -> Interval:
    """Return the mean of a metric over cases, with a bootstrap interval over people."""
    scores, people = by_case(rows, key), people_of(rows)
    return clustered_mean(
        [*scores.values()], [people[case] for case in scores], seeds.generator(seed, "report", "bootstrap")
    )


def compare_arms(
    rows_of: Mapping[str, Sequence[EvaluateRow]], baselines: Sequence[str], seed: int
) -> list[ArmComparison]:
    """Compare every arm with every baseline, on the same cases.

    Raises:
        ValueError: if two arms were not evaluated on the same cases.
    """
    comparisons = []
    for baseline in baselines:
        base = by_case(rows_of[baseline], TESTED)
        people = people_of(rows_of[baseline])
        for name, rows in rows_of.items():
            if name == baseline:
                continue
            scores = by_case(rows, TESTED)
            if scores.keys() != base.keys():
                raise ValueError(f"the arms {name} and {baseline} were not evaluated on the same cases")
            rng = seeds.generator(seed, "report", "bootstrap")
            result = compare([*scores.values()], [*base.values()], [people[case] for case in base], rng)
            comparisons.append(ArmComparison(name, baseline, result, result.p_value))
    corrected = holm([comparison.result.p_value for comparison in comparisons])
    return [replace(comparison, corrected=p) for comparison, p in zip(comparisons, corrected, strict=True)]


def curves(arms: Mapping[str, Arm]) -> dict[str, list[str]]:
    """Group arms that differ only in the number of synthetic samples, keyed by their shortest name.

    Only groups of at least two arms are returned, ordered by that number; an arm without a limit is last.
    """
    groups: dict[str, list[str]] = {}
    for name, arm in arms.items():
        groups.setdefault(arm.model_copy(update={"samples": None}).model_dump_json(), []).append(name)
    curves = {}
    for names in groups.values():
        if len(names) > 1:
            ordered = sorted(names, key=lambda name: arms[name].samples or math.inf)
            curves[min(names, key=len)] = ordered
    return curves
