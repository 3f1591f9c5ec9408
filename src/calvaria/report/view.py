"""Data of the report's 3-D view: selected test cases with the predictions of every arm."""

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

CASES = 8  # maximum number of cases in the view
PREDICTIONS = 120  # maximum number of implants in the view, to limit the size of the page
SCALE_MM = 5.0  # distance at which the colour scale ends


def select_cases(rows_of: Mapping[str, Sequence[EvaluateRow]], best: str, least: float) -> dict[int, str]:
    """Select test cases for the view: best, median and worst of the best arm, disputed cases, failures.

    Args:
        rows_of: the rows of every arm.
        best: the arm with the highest mean DSC.
        least: DSC below which a prediction is a failure.

    Returns:
        reasons by index of the case.
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
    """Return the index of the test case whose DSC differs most between arms."""
    dsc_of = [by_case(rows, DSC.key) for rows in rows_of.values()]
    shared = sorted(set.intersection(*(set(one) for one in dsc_of)))
    return max(shared, key=lambda case: np.ptp([one[case] for one in dsc_of]))


def view(run: Run, config: Config, rows_of: Mapping[str, Sequence[EvaluateRow]], best: str) -> dict[str, Any]:
    """Return all data of the 3-D view, for JSON."""
    cases = select_cases(rows_of, best, config.report.failure_dsc)
    return {
        "arms": list(rows_of),
        "best": best,
        "step_mm": STEP_MM,
        "distance_mm": DISTANCE_MM,
        "scale_mm": SCALE_MM,
        "cases": [_case(run, config, case, reason, rows_of) for case, reason in cases.items()],
    }


def _case(
    run: Run, config: Config, case: int, reason: str, rows_of: Mapping[str, Sequence[EvaluateRow]]
) -> dict[str, Any]:
    grid = config.grid.voxels()
    labels = one(run.inject("test"), case)
    bone, truth = surface(labels == BONE, grid), surface(labels == IMPLANT, grid)
    predicted = {}
    for arm, rows in rows_of.items():
        row = first(rows, case)
        implant = surface(one(run.evaluate(arm), row["index"]) == IMPLANT, grid)
        predicted[arm] = _prediction(implant, truth, row)
    return {
        "name": f"Test case {case}: {reason}",
        "towards": facing(labels == IMPLANT, grid).axes[2].round(4).tolist(),
        "bone": to_json(bone) if bone else None,
        "truth": to_json(truth) if truth else None,
        "predicted": predicted,
    }


def _prediction(predicted: Surface | None, truth: Surface | None, row: EvaluateRow) -> dict[str, Any]:
    if predicted is None or truth is None:
        return {"mesh": None, "text": verdict(row)}
    apart = distances(predicted, truth)
    low, high = (number(value, 1) for value in (max(0.0, -float(apart.min())), max(0.0, float(apart.max()))))
    within = number(100 * float(np.mean(np.abs(apart) <= 1.0)), 0)
    text = (
        f"{verdict(row)} in native space. On the canonical grid, as shown: {within} % of the surface within "
        f"1 mm of the true one; up to {high} mm outside, {low} mm inside."
    )
    return {"mesh": to_json(predicted, apart), "text": text}


def _sentence(words: Sequence[str]) -> str:
    """Join the reasons for showing a case, at most three of them."""
    more = len(words) - 3
    return ", ".join(words[:3]) + (f" and {more} more" if more > 0 else "")
