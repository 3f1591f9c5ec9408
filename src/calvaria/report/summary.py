"""The result of a run in sentences, from its statistics."""

from collections.abc import Mapping, Sequence

from calvaria.metrics.comparison import ArmComparison, interval, people_of, single
from calvaria.report.tables import ALPHA, DSC, interval_text, number, p_equals
from calvaria.storage.rows import EvaluateRow


def summary(
    rows_of: Mapping[str, Sequence[EvaluateRow]], best: str, comparisons: Sequence[ArmComparison], seed: int
) -> list[str]:
    """Return sentences: significant differences, the best arm, its lead, and caveats.

    Args:
        rows_of: the rows of every arm.
        best: the arm with the highest mean DSC.
        comparisons: every arm against every baseline; empty for a run with one arm.
        seed: root seed of the run, for the bootstrap.
    """
    rows = rows_of[best]
    people = len(set(people_of(rows).values()))
    cases = len({row["case"] for row in rows})
    over = interval(rows, DSC.key, seed)
    score = f"a mean DSC of {number(over.mean, 3)} (95 % interval {interval_text(over, 3)})"
    where = f"on {_count(cases, 'test case')} of {_count(people, 'person', 'people')}"
    if len(rows_of) == 1:
        sentences = [f"The arm “{best}” has {score} {where}; there is no other arm to compare it with."]
    else:
        sentences = [_significant(comparisons)]
        sentences.append(f"Of {len(rows_of)} arms, “{best}” has the highest score: {score} {where}.")
        sentences += [_against(one, len(comparisons)) for one in comparisons if one.arm == best]
        sentences += _underpowered(comparisons)
        sentences.append(
            "The best arm is selected by the same scores, so its lead is, on average, overestimated."
        )
    empty = sum(bool(row["empty"]) for each in rows_of.values() for row in single(each))
    total = sum(len(single(each)) for each in rows_of.values())
    if empty:
        sentences.append(
            f"{empty} of {_count(total, 'prediction')} of all arms are empty; they count as DSC 0."
        )
    return sentences


def _against(one: ArmComparison, comparisons: int) -> str:
    """Describe the difference of the best arm to a baseline."""
    difference = one.result.difference
    more = "higher" if difference.mean > 0 else "lower" if difference.mean < 0 else "different"
    span = f"95 % interval {difference.low:+.3f} to {difference.high:+.3f}".replace("-", "\u2212")
    corrected = f"{p_equals(one.corrected)} after Holm's correction for {_count(comparisons, 'comparison')}"
    verdict = "significant" if one.corrected < ALPHA else "not significant"
    by = number(abs(difference.mean), 3)
    return f"That is {by} {more} than “{one.baseline}” ({span}; {corrected}): {verdict}."


def _significant(comparisons: Sequence[ArmComparison]) -> str:
    """Name the arms that differ significantly from a baseline."""
    baselines = list(dict.fromkeys(one.baseline for one in comparisons))
    significant = [one for one in comparisons if one.corrected < ALPHA]
    if not significant:
        return f"No arm differs significantly from {' or '.join(f'“{name}”' for name in baselines)}."
    parts = []
    for baseline in baselines:
        for word, sign in (("better", 1), ("worse", -1)):
            arms = [
                f"“{one.arm}”"
                for one in significant
                if one.baseline == baseline and (one.result.difference.mean > 0) == (sign > 0)
            ]
            if arms:
                parts.append(f"significantly {word} than “{baseline}”: {', '.join(arms)}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]} (p < {ALPHA:g}). No other difference to a baseline is significant."


def _underpowered(comparisons: Sequence[ArmComparison]) -> list[str]:
    """Warn if there are too few people for any difference to be significant."""
    people = min(one.result.people for one in comparisons)
    smallest_p = 2.0 ** (1 - people) * len(comparisons)  # of the signed-rank test, if every person improves
    if smallest_p < ALPHA:
        return []
    return [
        f"With {_count(people, 'test person', 'test people')} and {_count(len(comparisons), 'comparison')} "
        "no difference can be significant, however large."
    ]


def _count(number_of: int, one: str, many: str = "") -> str:
    return f"{number_of} {one if number_of == 1 else many or one + 's'}"
