"""Divide the people into training, validation and test.

Example: calvaria split --run results/demo
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calvaria.errors import InputError
from calvaria.pipeline import reads
from calvaria.pipeline.stage import Stage

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.storage.paths import Run
    from calvaria.storage.rows import CohortRow

COHORTS = ("training", "validation", "test")
LEAST_PEOPLE = 4


def split(run: Run, config: Config) -> None:
    """Write ``split.json``: the rows of every cohort.

    Raises:
        InputError: if too few people are left.
    """
    from calvaria import seeds
    from calvaria.storage.store import read_json, write_json

    person_of = read_json(run.people)["person"]
    rows = [row for row in run.ingest.rows() if row["id"] in person_of]
    people = sorted(set(person_of.values()))
    if len(people) < LEAST_PEOPLE:
        raise InputError(
            f"split: {len(people)} usable person(s) after ingest, expected at least {LEAST_PEOPLE}; "
            f"{run.ingest.path} has the verdict of every skull"
        )
    order = seeds.generator(config.seed, "split").permutation(len(people))
    test = max(1, round(config.split.test * len(people)))
    validation = max(1, round(config.split.validation * len(people)))
    cohort_of = {}
    for place, number in enumerate(order):
        cohort = "test" if place < test else "validation" if place < test + validation else "training"
        cohort_of[people[number]] = cohort
    members: dict[str, list[CohortRow]] = {cohort: [] for cohort in COHORTS}
    for row in rows:
        person = person_of[row["id"]]
        entry: CohortRow = {"index": row["index"], "id": row["id"], "person": person, "sha256": row["sha256"]}
        members[cohort_of[person]].append(entry)
    write_json(run.split, members)


STAGE = Stage(
    name="split",
    help=__doc__,
    run=split,
    outputs=lambda run, *_: (run.split,),
    reads=lambda config, *_: reads.section(config, "seed", "split"),
)
