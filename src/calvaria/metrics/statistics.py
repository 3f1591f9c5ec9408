"""Statistics of a difference between arms: interval, effect size and significance.

Cases of one person are not independent, so people are resampled and paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """The comparison of an arm with a baseline, by person."""

    difference: Interval  # arm minus baseline
    effect: float  # matched-pairs rank-biserial correlation, -1 to 1; positive if the arm is higher
    p_value: float  # two-sided Wilcoxon signed-rank test
    people: int


def per_person(values: Sequence[float], people: Sequence[str]) -> dict[str, float]:
    """Return the mean value of every person."""
    groups: dict[str, list[float]] = {}
    for value, person in zip(values, people, strict=True):
        groups.setdefault(person, []).append(value)
    return {person: float(np.mean(group)) for person, group in sorted(groups.items())}


def clustered_mean(values: Sequence[float], people: Sequence[str], rng: np.random.Generator) -> Interval:
    """Return the mean over cases, and its percentile interval from resampling people with all their cases.

    Source: Davison and Hinkley 1997, Bootstrap methods and their application, section 3.8.
    """
    numbers = {person: place for place, person in enumerate(sorted(set(people)))}
    sums, counts = np.zeros(len(numbers)), np.zeros(len(numbers))
    for value, person in zip(values, people, strict=True):
        sums[numbers[person]] += value
        counts[numbers[person]] += 1
    drawn = rng.integers(len(numbers), size=(DRAWS, len(numbers)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high))


def compare(
    arm: Sequence[float], baseline: Sequence[float], people: Sequence[str], rng: np.random.Generator
) -> Comparison:
    """Compare two arms on the same cases.

    Sources: Wilcoxon 1945; Kerby 2014, The simple difference formula (rank-biserial correlation).
    """
    from scipy.stats import rankdata, wilcoxon

    differences = np.asarray(arm, float) - np.asarray(baseline, float)
    means = np.array([*per_person(differences.tolist(), people).values()])
    moved = means[means != 0]
    if len(moved):
        ranks = rankdata(np.abs(moved))
        effect = float((ranks[moved > 0].sum() - ranks[moved < 0].sum()) / ranks.sum())
        p_value = float(wilcoxon(means).pvalue)
    else:
        effect, p_value = 0.0, 1.0
    return Comparison(clustered_mean(differences.tolist(), people, rng), effect, p_value, len(means))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple testing, in the order given.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for place, number in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[number]))
        corrected[int(number)] = highest
    return corrected
