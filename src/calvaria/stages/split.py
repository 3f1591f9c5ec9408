"""Divide the people into training, validation and test.

Example: calvaria split --run results/demo
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calvaria.errors import InputError
from calvaria.pipeline import reads
from calvaria.pipeline.stage import Stage

if TYPE_CHECKING:
    from calvaria.config import Config, Split
    from calvaria.storage.paths import Run
    from calvaria.storage.rows import CohortRow

COHORTS = ("training", "validation", "test")
LEAST_PEOPLE = 4


def split(run: Run, config: Config) -> None:
    """Write ``split.json``: the rows of every cohort.

    Raises:
        InputError: if too few people are left.
    """
    import numpy as np

    from calvaria import seeds
    from calvaria.storage.store import read_json, write_json

    person_of = read_json(run.people)["person"]
    rows = [row for row in run.ingest.rows() if row["id"] in person_of]
    people = sorted(set(person_of.values()))
    least = max(LEAST_PEOPLE, config.split.folds or 0)
    if len(people) < least:
        raise InputError(
            f"split: {len(people)} usable person(s) after ingest, expected at least {least}; "
            f"{run.ingest.path} has the verdict of every skull"
        )
    order = seeds.generator(config.seed, "split").permutation(len(people))
    first, test = _test_people(config.split, len(people))
    validation = max(1, round(config.split.validation * len(people)))
    cohort_of = {}
    for place, number in enumerate(np.roll(order, -first)):
        cohort = "test" if place < test else "validation" if place < test + validation else "training"
        cohort_of[people[number]] = cohort
    members: dict[str, list[CohortRow]] = {cohort: [] for cohort in COHORTS}
    for row in rows:
        person = person_of[row["id"]]
        entry: CohortRow = {"index": row["index"], "id": row["id"], "person": person, "sha256": row["sha256"]}
        members[cohort_of[person]].append(entry)
    write_json(run.split, members)


def _test_people(settings: Split, people: int) -> tuple[int, int]:
    """Return the place of the first test person in the random order, and the number of test people."""
    if settings.folds is None:
        return 0, max(1, round(settings.test * people))
    first, end = (round(fold * people / settings.folds) for fold in (settings.fold, settings.fold + 1))
    return first, end - first


STAGE = Stage(
    name="split",
    help=__doc__,
    run=split,
    outputs=lambda run, *_: (run.split,),
    reads=lambda config, *_: reads.section(config, "seed", "split"),
)
