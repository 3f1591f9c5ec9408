"""Rendered skulls and cases of the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calvaria.config import Config
from calvaria.geometry.grid import BACKGROUND, BONE, IMPLANT, Grid
from calvaria.metrics.comparison import by_case
from calvaria.report.figures import picture_uri
from calvaria.report.render import BONE_COLOUR, PREDICTED_COLOUR, TRUE_COLOUR, VIEWS, View, render
from calvaria.report.tables import DSC, HD95, number, scores
from calvaria.storage.paths import Run
from calvaria.storage.rows import EvaluateRow
from calvaria.storage.store import Store

FAILURES = 6  # maximum number of failures in the report
SMALL, LARGE = 208, 272  # pixels; shown at two thirds of that size


@dataclass(frozen=True)
class Picture:
    """A picture with its caption."""

    source: str  # a data URI
    alt: str
    caption: str


@dataclass(frozen=True)
class FamilyPictures:
    """Rendered skulls and cases of a family."""

    skulls: list[Picture]
    cases: list[Picture]


@dataclass(frozen=True)
class Comparison:
    """A test case: defective skull, true implant and predictions of arms."""

    title: str
    text: str
    pictures: list[Picture]


def family_pictures(run: Run, config: Config, family: str) -> FamilyPictures:
    """Render the first skulls and cases of a family."""
    return FamilyPictures(skulls(run, config, family), cases(run, config, family))


def skulls(run: Run, config: Config, family: str) -> list[Picture]:
    """Render the first screened skulls of a family."""
    store = run.screen(family)
    rows = store.rows()[: config.report.skulls]
    grid = config.grid.voxels()
    return [
        Picture(
            picture_uri(render(labels, grid, VIEWS["oblique"], SMALL)),
            f"Skull {row['index']} of the family {family}",
            f"Skull {row['index']}{_origin(row['parents'])}",
        )
        for row, labels in zip(rows, store.volumes(rows), strict=True)
    ]


def cases(run: Run, config: Config, family: str) -> list[Picture]:
    """Render the first cases of a family, each without and with its implant."""
    store = run.inject(family)
    rows = store.rows()[: config.report.cases]
    grid = config.grid.voxels()
    pictures = []
    for row, labels in zip(rows, store.volumes(rows), strict=True):
        view = facing(labels == IMPLANT, grid)
        name = f"case {row['index']} of the family {family}"
        pictures += [
            Picture(
                picture_uri(render(without_implant(labels), grid, view, SMALL)),
                f"Defective skull of {name}",
                f"Case {row['index']}: skull {row['skull']}, {row['recipe']}",
            ),
            Picture(
                picture_uri(render(labels, grid, view, SMALL)),
                f"Implant of {name}",
                f"its implant, {number(row['implant_ml'], 0)} ml",
            ),
        ]
    return pictures


def picked(rows: Sequence[EvaluateRow]) -> dict[str, EvaluateRow]:
    """Return the best, the median and the worst prediction by DSC, by title."""
    order = sorted(rows, key=lambda row: -float(row["dsc"]))
    return {"Best case": order[0], "Median case": order[len(order) // 2], "Worst case": order[-1]}


def hardest(rows_of: Mapping[str, Sequence[EvaluateRow]]) -> int:
    """Return the index of the test case with the lowest mean DSC over all arms."""
    dsc_of = [by_case(rows, DSC.key) for rows in rows_of.values()]
    shared = sorted(set.intersection(*(set(one) for one in dsc_of)))
    return min(shared, key=lambda case: sum(one[case] for one in dsc_of))


def worst_failures(
    rows_of: Mapping[str, Sequence[EvaluateRow]], least: float
) -> list[tuple[str, EvaluateRow]]:
    """Return the worst failure of each case, with its arm; at most FAILURES, worst first."""
    rows = [
        (float(row["dsc"]), arm, row)
        for arm, predictions in rows_of.items()
        for row in predictions
        if row["empty"] or row["dsc"] < least
    ]
    worst: dict[int, tuple[str, EvaluateRow]] = {}
    for _, arm, row in sorted(rows, key=lambda item: (item[0], item[1], item[2]["index"])):
        worst.setdefault(row["case"], (arm, row))
    return list(worst.values())[:FAILURES]


def gallery(run: Run, config: Config, arm: str, rows: Sequence[EvaluateRow]) -> list[Comparison]:
    """Render the best, the median and the worst test case of an arm by DSC."""
    return [compare(run, config, title, row, {arm: row}) for title, row in picked(rows).items()]


def worst_everywhere(run: Run, config: Config, rows_of: Mapping[str, Sequence[EvaluateRow]]) -> Comparison:
    """Render the case with the lowest mean DSC over all arms, with every arm's prediction."""
    case = hardest(rows_of)
    chosen = {arm: first(rows, case) for arm, rows in rows_of.items()}
    row = next(iter(chosen.values()))
    return compare(run, config, "Most difficult case, all arms", row, chosen)


def first(rows: Sequence[EvaluateRow], case: int) -> EvaluateRow:
    """Return the row of the first network's prediction for a case."""
    return next(row for row in rows if row["case"] == case)


def failed(run: Run, config: Config, rows_of: Mapping[str, Sequence[EvaluateRow]]) -> list[Comparison]:
    """Render the worst failures, each with its arm's prediction."""
    return [
        compare(run, config, f"Case {row['case']}: worst failure, by {arm}", row, {arm: row})
        for arm, row in worst_failures(rows_of, config.report.failure_dsc)
    ]


def compare(
    run: Run, config: Config, title: str, row: EvaluateRow, predicted: Mapping[str, EvaluateRow]
) -> Comparison:
    """Render one test case and its predictions, viewed from the side of the true implant."""
    grid = config.grid.voxels()
    truth = one(run.inject("test"), row["case"])
    view = facing(truth == IMPLANT, grid)
    name = f"test case {row['case']}"
    pictures = [
        Picture(
            picture_uri(render(without_implant(truth), grid, view, LARGE)),
            f"Defective skull of {name}",
            "Defective skull: input of the network",
        ),
        Picture(picture_uri(render(truth, grid, view, LARGE)), f"True implant of {name}", "True implant"),
    ]
    for arm, scored in predicted.items():
        labels = one(run.evaluate(arm), scored["index"])
        pictures.append(
            Picture(
                picture_uri(render(labels, grid, view, LARGE, PREDICTED_COLOUR)),
                f"Implant that the arm {arm} predicted for {name}",
                f"Predicted by {arm}: {verdict(scored)}",
            )
        )
    person = f" of {row['person']}" if row["person"] is not None else ""
    return Comparison(title, f"Test case {row['case']}{person}, defect recipe {row['recipe']}.", pictures)


def facing(mask: np.ndarray, grid: Grid) -> View:
    """Return the view of an implant: from the grid's centre through the mask's centroid, never from below.

    Args:
        mask: (x, y, z) bool; if it is empty, the view is oblique.
    """
    if not mask.any():
        return VIEWS["oblique"]
    x, y, z = (float(np.mean(grid.centres(axis)[index])) for axis, index in enumerate(np.nonzero(mask)))
    # A limited elevation keeps the skull recognisable if the implant is at the vertex.
    elevation = np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    return View(float(np.rad2deg(np.arctan2(x, y))), float(np.clip(elevation, 8, 50)))


def without_implant(labels: np.ndarray) -> np.ndarray:
    """Return the defective skull of a case: (x, y, z) labels 0 and 1."""
    return np.where(labels == BONE, BONE, BACKGROUND).astype(np.uint8)


def one(store: Store, index: int) -> np.ndarray:
    """Read one (x, y, z) label volume of a store, checked against its sha256."""
    return next(store.volumes([store.rows()[index]]))


def css(colour: np.ndarray) -> str:
    """Return a colour in [0, 1] as CSS."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)


LEGEND = (
    ("bone", css(BONE_COLOUR)),
    ("true implant", css(TRUE_COLOUR)),
    ("predicted implant", css(PREDICTED_COLOUR)),
)


def _origin(parents: Sequence[str]) -> str:
    return f", from {' and '.join(parents)}" if 0 < len(parents) < 3 else ""


def verdict(row: EvaluateRow) -> str:
    """Return the scores of a prediction as text."""
    if row["empty"]:
        return "empty, DSC 0"
    return f"DSC {number(row['dsc'], DSC.digits)}, HD95 {number(scores([row], HD95)[0], HD95.digits)} mm"
