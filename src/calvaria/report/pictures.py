"""The rendered skulls and cases of the report."""

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

FAILURES = 6
SMALL, LARGE = 208, 272  # pixels; the page shows them at two thirds of that


@dataclass(frozen=True)
class Picture:
    """A picture with its caption."""

    source: str  # a data URI
    alt: str
    caption: str


@dataclass(frozen=True)
class Comparison:
    """A test case: its defective skull, its true implant, and what arms predicted."""

    title: str
    text: str
    pictures: list[Picture]


def skulls(run: Run, config: Config, family: str) -> list[Picture]:
    """The first skulls of a family, as screened."""
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
    """The first cases of a family: each defective skull, then the same with its implant."""
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
    """The best, the median and the worst prediction by DSC, by what they are."""
    order = sorted(rows, key=lambda row: -float(row["dsc"]))
    return {"Best case": order[0], "Median case": order[len(order) // 2], "Worst case": order[-1]}


def hardest(rows_of: Mapping[str, Sequence[EvaluateRow]]) -> int:
    """The number of the test case with the lowest mean DSC over all arms."""
    found = [by_case(rows, DSC.key) for rows in rows_of.values()]
    shared = sorted(set.intersection(*(set(one) for one in found)))
    return min(shared, key=lambda case: sum(one[case] for one in found))


def worst_failures(
    rows_of: Mapping[str, Sequence[EvaluateRow]], least: float
) -> list[tuple[str, EvaluateRow]]:
    """The worst failure of every case that has one, with its arm; at most FAILURES, the worst first."""
    rows = [
        (float(row["dsc"]), arm, row)
        for arm, found in rows_of.items()
        for row in found
        if row["empty"] or row["dsc"] < least
    ]
    worst: dict[int, tuple[str, EvaluateRow]] = {}
    for _, arm, row in sorted(rows, key=lambda item: (item[0], item[1], item[2]["index"])):
        worst.setdefault(row["case"], (arm, row))
    return list(worst.values())[:FAILURES]


def gallery(run: Run, config: Config, arm: str, rows: Sequence[EvaluateRow]) -> list[Comparison]:
    """The best, the median and the worst test case of an arm by DSC."""
    return [compare(run, config, title, row, {arm: row}) for title, row in picked(rows).items()]


def worst_everywhere(run: Run, config: Config, rows_of: Mapping[str, Sequence[EvaluateRow]]) -> Comparison:
    """The case with the lowest mean DSC over all arms, with every arm's prediction."""
    case = hardest(rows_of)
    chosen = {arm: first(rows, case) for arm, rows in rows_of.items()}
    row = next(iter(chosen.values()))
    return compare(run, config, "The hardest case, by every arm", row, chosen)


def first(rows: Sequence[EvaluateRow], case: int) -> EvaluateRow:
    """What an arm's first network predicted for a case."""
    return next(row for row in rows if row["case"] == case)


def failed(run: Run, config: Config, rows_of: Mapping[str, Sequence[EvaluateRow]]) -> list[Comparison]:
    """The worst failures, each with its arm's prediction."""
    return [
        compare(run, config, f"Case {row['case']}: the worst failure, of {arm}", row, {arm: row})
        for arm, row in worst_failures(rows_of, config.report.failure_dsc)
    ]


def compare(
    run: Run, config: Config, title: str, row: EvaluateRow, predicted: Mapping[str, EvaluateRow]
) -> Comparison:
    """Render one test case and its predictions, all from where the true implant is seen best."""
    grid = config.grid.voxels()
    truth = one(run.inject("test"), row["case"])
    view = facing(truth == IMPLANT, grid)
    name = f"test case {row['case']}"
    pictures = [
        Picture(
            picture_uri(render(without_implant(truth), grid, view, LARGE)),
            f"Defective skull of {name}",
            "Defective skull: what the network sees",
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
    """The view onto an implant: from the grid's centre through the middle of the mask, never from below.

    Args:
        mask: (x, y, z) bool; the oblique view if it is empty.
    """
    if not mask.any():
        return VIEWS["oblique"]
    x, y, z = (float(np.mean(grid.centres(axis)[index])) for axis, index in enumerate(np.nonzero(mask)))
    # Half of the way to the side keeps the skull recognisable when the implant is on its very top.
    elevation = np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    return View(float(np.rad2deg(np.arctan2(x, y))), float(np.clip(elevation, 8, 50)))


def without_implant(labels: np.ndarray) -> np.ndarray:
    """The defective skull of a case: (x, y, z) labels 0 and 1."""
    return np.where(labels == BONE, BONE, BACKGROUND).astype(np.uint8)


def one(store: Store, index: int) -> np.ndarray:
    """One (x, y, z) label volume of a store, checked against its sha256."""
    return next(store.volumes([store.rows()[index]]))


def css(colour: np.ndarray) -> str:
    """A colour in [0, 1] for the style sheet."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)


LEGEND = (
    ("bone", css(BONE_COLOUR)),
    ("true implant", css(TRUE_COLOUR)),
    ("predicted implant", css(PREDICTED_COLOUR)),
)


def _origin(parents: Sequence[str]) -> str:
    return f", from {' and '.join(parents)}" if 0 < len(parents) < 3 else ""


def verdict(row: EvaluateRow) -> str:
    """The scores of a prediction in a few words."""
    if row["empty"]:
        return "empty, DSC 0"
    return f"DSC {number(row['dsc'], DSC.digits)}, HD95 {number(scores([row], HD95)[0], HD95.digits)} mm"
