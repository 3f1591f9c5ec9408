"""Arms against each other: scores by case, intervals, paired tests, and how many samples are enough."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calvaria import seeds
from calvaria.config import Arm
from calvaria.metrics.statistics import Comparison, Interval, clustered_mean, compare, holm
from calvaria.storage.store import Row

TESTED = "dsc"


@dataclass(frozen=True)
class Versus:
    """An arm against a baseline, by DSC."""

    arm: str
    baseline: str
    found: Comparison
    corrected: float  # p-value after Holm, over all comparisons of the run


def by_case(rows: Sequence[Row], key: str) -> dict[int, float]:
    """One metric of every case, the mean over an arm's networks; a null is an infinite distance."""
    values: dict[int, list[float]] = {}
    for row in single(rows):
        values.setdefault(row["case"], []).append(math.inf if row[key] is None else float(row[key]))
    return {case: float(np.mean(found)) for case, found in sorted(values.items())}


def single(rows: Sequence[Row]) -> list[Row]:
    """The rows of single networks, without those of their ensemble."""
    return [row for row in rows if isinstance(row.get("seed", 0), int)]


def people_of(rows: Sequence[Row]) -> dict[int, str]:
    """Whose skull every case is; a case of nobody known stands for itself."""
    return {row["case"]: str(row["person"] or f"case {row['case']}") for row in rows}


def interval(rows: Sequence[Row], key: str, seed: int) -> Interval:
    """Mean of a metric over cases, with a bootstrap interval over people."""
    scores, people = by_case(rows, key), people_of(rows)
    return clustered_mean(
        [*scores.values()], [people[case] for case in scores], seeds.generator(seed, "report", "bootstrap")
    )


def versus(rows_of: Mapping[str, Sequence[Row]], baselines: Sequence[str], seed: int) -> list[Versus]:
    """Every arm against every baseline, on the same cases.

    Raises:
        ValueError: if two arms were not evaluated on the same cases.
    """
    found = []
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
            one = compare([*scores.values()], [*base.values()], [people[case] for case in base], rng)
            found.append(Versus(name, baseline, one, one.p_value))
    corrected = holm([one.found.p_value for one in found])
    return [replace(one, corrected=p) for one, p in zip(found, corrected, strict=True)]


def curves(arms: Mapping[str, Arm]) -> dict[str, list[str]]:
    """Arms that differ only in the number of synthetic samples, by the longest name that they share.

    Only groups of two arms or more, each ordered by that number; the arm without a limit comes last.
    """
    groups: dict[str, list[str]] = {}
    for name, arm in arms.items():
        groups.setdefault(arm.model_copy(update={"samples": None}).model_dump_json(), []).append(name)
    found = {}
    for names in groups.values():
        if len(names) > 1:
            ordered = sorted(names, key=lambda name: arms[name].samples or math.inf)
            found[min(names, key=len)] = ordered
    return found
