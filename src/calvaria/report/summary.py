"""The result of a run in plain words, from its statistics alone."""

from collections.abc import Mapping, Sequence

from calvaria.metrics.comparison import Versus, interval, people_of, single
from calvaria.report.tables import DSC, SURE, interval_text, number, p_equals
from calvaria.storage.rows import EvaluateRow


def summary(
    rows_of: Mapping[str, Sequence[EvaluateRow]], best: str, found: Sequence[Versus], seed: int
) -> list[str]:
    """Sentences: which arm leads, by how much, how sure that is, and what speaks against it.

    Args:
        rows_of: the rows of every arm.
        best: the arm with the highest mean DSC.
        found: every arm against every baseline; empty of a run with one arm.
        seed: of the run, for the bootstrap.
    """
    rows = rows_of[best]
    people = len(set(people_of(rows).values()))
    cases = len({row["case"] for row in rows})
    over = interval(rows, DSC.key, seed)
    score = f"a mean DSC of {number(over.mean, 3)} (95 % interval {interval_text(over, 3)})"
    where = f"on {_count(cases, 'test case')} of {_count(people, 'person', 'people')}"
    if len(rows_of) == 1:
        said = [f"The arm “{best}” has {score} {where}; there is no other arm to compare it with."]
    else:
        said = [_sure(found)]
        said.append(f"Of {len(rows_of)} arms, “{best}” has the highest score: {score} {where}.")
        said += [_against(one, len(found)) for one in found if one.arm == best]
        said += _powerless(found)
        said.append(
            "The leader was picked by these very scores, so its lead is, on average, larger than the truth."
        )
    empty = sum(bool(row["empty"]) for each in rows_of.values() for row in single(each))
    total = sum(len(single(each)) for each in rows_of.values())
    if empty:
        said.append(f"{empty} of {_count(total, 'prediction')} of all arms are empty; they count as DSC 0.")
    return said


def _against(one: Versus, comparisons: int) -> str:
    """The leader's lead over a baseline."""
    difference = one.found.difference
    more = "higher" if difference.mean > 0 else "lower" if difference.mean < 0 else "different"
    span = f"95 % interval {difference.low:+.3f} to {difference.high:+.3f}".replace("-", "\u2212")
    corrected = f"{p_equals(one.corrected)} after Holm's correction for {_count(comparisons, 'comparison')}"
    sure = "this is unlikely to be chance" if one.corrected < SURE else "this may be chance"
    by = number(abs(difference.mean), 3)
    return f"That is {by} {more} than “{one.baseline}” ({span}; {corrected}): {sure}."


def _sure(found: Sequence[Versus]) -> str:
    """Which arms differ from a baseline beyond doubt."""
    baselines = list(dict.fromkeys(one.baseline for one in found))
    sure = [one for one in found if one.corrected < SURE]
    if not sure:
        return f"No arm differs surely from {' or '.join(f'“{name}”' for name in baselines)}."
    parts = []
    for baseline in baselines:
        for word, sign in (("better", 1), ("worse", -1)):
            arms = [
                f"“{one.arm}”"
                for one in sure
                if one.baseline == baseline and (one.found.difference.mean > 0) == (sign > 0)
            ]
            if arms:
                parts.append(f"surely {word} than “{baseline}”: {', '.join(arms)}")
    said = "; ".join(parts)
    return f"{said[0].upper()}{said[1:]}. No other difference to a baseline is sure."


def _powerless(found: Sequence[Versus]) -> list[str]:
    """A warning if there are too few people for any difference to be shown, however large."""
    people = min(one.found.people for one in found)
    least = 2.0 ** (1 - people) * len(found)  # of the signed-rank test, if everybody gains
    if least < SURE:
        return []
    return [
        f"With {_count(people, 'test person', 'test people')} and {_count(len(found), 'comparison')} no "
        "difference could be called sure, however large."
    ]


def _count(number_of: int, one: str, many: str = "") -> str:
    return f"{number_of} {one if number_of == 1 else many or one + 's'}"
