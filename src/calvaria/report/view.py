"""What the report's 3-D view shows: chosen test cases, each with the implant that every arm predicted."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calvaria.config import Config
from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.metrics.comparison import by_case
from calvaria.report.pictures import facing, first, hardest, one, picked, verdict, worst_failures
from calvaria.report.surfaces import DISTANCE_MM, STEP_MM, Surface, distances, surface, to_json
from calvaria.report.tables import DSC, number
from calvaria.storage.paths import Run
from calvaria.storage.rows import EvaluateRow

CASES = 8  # most cases in the view
PREDICTIONS = 120  # most implants in the view, so that the page stays light
SCALE_MM = 5.0  # distance at which the colours end


def chosen(rows_of: Mapping[str, Sequence[EvaluateRow]], best: str, least: float) -> dict[int, str]:
    """Test cases worth turning around, and why: of the best arm best, median and worst, then failures.

    Args:
        rows_of: the rows of every arm.
        best: the arm with the highest mean DSC.
        least: DSC below which a prediction is a failure.

    Returns:
        reasons by number of the case.
    """
    reasons: dict[int, list[str]] = {}
    for title, row in picked(rows_of[best]).items():
        reasons.setdefault(row["case"], []).append(f"{title.lower()} of {best}")
    reasons.setdefault(hardest(rows_of), []).append("hardest for all arms")
    reasons.setdefault(_disputed(rows_of), []).append("arms differ most")
    for _, row in worst_failures(rows_of, least):
        reasons.setdefault(row["case"], []).append("failure")
    most = max(3, min(CASES, PREDICTIONS // len(rows_of)))
    return {case: _sentence(words) for case, words in list(reasons.items())[:most]}


def _disputed(rows_of: Mapping[str, Sequence[EvaluateRow]]) -> int:
    """The number of the test case whose DSC differs most between arms."""
    found = [by_case(rows, DSC.key) for rows in rows_of.values()]
    shared = sorted(set.intersection(*(set(one) for one in found)))
    return max(shared, key=lambda case: np.ptp([one[case] for one in found]))


def view(run: Run, config: Config, rows_of: Mapping[str, Sequence[EvaluateRow]], best: str) -> dict[str, Any]:
    """Everything that the 3-D view draws and says, for JSON."""
    cases = chosen(rows_of, best, config.report.failure_dsc)
    return {
        "arms": list(rows_of),
        "best": best,
        "step_mm": STEP_MM,
        "distance_mm": DISTANCE_MM,
        "scale_mm": SCALE_MM,
        "cases": [_case(run, config, case, why, rows_of) for case, why in cases.items()],
    }


def _case(
    run: Run, config: Config, case: int, why: str, rows_of: Mapping[str, Sequence[EvaluateRow]]
) -> dict[str, Any]:
    grid = config.grid.voxels()
    labels = one(run.inject("test"), case)
    bone, truth = surface(labels == BONE, grid), surface(labels == IMPLANT, grid)
    predicted = {}
    for arm, rows in rows_of.items():
        row = first(rows, case)
        found = surface(one(run.evaluate(arm), row["index"]) == IMPLANT, grid)
        predicted[arm] = _prediction(found, truth, row)
    return {
        "name": f"Test case {case}: {why}",
        "towards": facing(labels == IMPLANT, grid).axes[2].round(4).tolist(),
        "bone": to_json(bone) if bone else None,
        "truth": to_json(truth) if truth else None,
        "predicted": predicted,
    }


def _prediction(found: Surface | None, truth: Surface | None, row: EvaluateRow) -> dict[str, Any]:
    if found is None or truth is None:
        return {"mesh": None, "text": verdict(row)}
    apart = distances(found, truth)
    low, high = (number(value, 1) for value in (max(0.0, -float(apart.min())), max(0.0, float(apart.max()))))
    within = number(100 * float(np.mean(np.abs(apart) <= 1.0)), 0)
    text = (
        f"{verdict(row)} on the scan's own grid. As drawn here, on the run's grid: {within} % of the surface "
        f"within 1 mm of the true one; out by up to {high} mm, in by up to {low} mm."
    )
    return {"mesh": to_json(found, apart), "text": text}


def _sentence(words: Sequence[str]) -> str:
    """The reasons for which a case is shown, at most three of them."""
    more = len(words) - 3
    return ", ".join(words[:3]) + (f" and {more} more" if more > 0 else "")
