"""The skulls of each cohort of a run, once the stage ``split`` has written it."""

import numpy as np

from calvaria.plugins.family import Population
from calvaria.storage.paths import Run
from calvaria.storage.rows import CohortRow
from calvaria.storage.store import read_json


def cohort(run: Run, name: str) -> list[CohortRow]:
    """Return the members of a cohort: "training", "validation" or "test"."""
    rows: list[CohortRow] = read_json(run.split)[name]
    return rows


def people(run: Run) -> dict[str, str]:
    """Return the person of every skull of the cohorts, by the skull's identifier."""
    rows = [row for members in read_json(run.split).values() for row in members]
    return {row["id"]: row["person"] for row in rows}


def training_population(run: Run) -> Population:
    """Return the complete skulls of the training and the validation cohort."""
    ids, masks = skulls(run, "training")
    return Population(ids, masks, skulls(run, "validation")[1])


def skulls(run: Run, name: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the distinct complete skulls of a cohort; for several cases of one skull, the first.

    Returns:
        their identifiers, and (n, x, y, z) uint8 masks of bone.
    """
    ids: list[str] = []
    masks: dict[bytes, np.ndarray] = {}
    rows = cohort(run, name)
    for row, labels in zip(rows, run.ingest.volumes(rows), strict=True):
        mask = (labels > 0).astype(np.uint8)
        if mask.tobytes() not in masks:
            ids.append(row["id"])
            masks[mask.tobytes()] = mask
    return tuple(ids), np.stack(list(masks.values()))
