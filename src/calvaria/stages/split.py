"""split: who is trained on, who is validated on, who is tested on. People are split, not scans."""

from calvaria import seeds
from calvaria.config import Config
from calvaria.errors import InputError
from calvaria.storage.paths import Run
from calvaria.storage.rows import CohortRow
from calvaria.storage.store import read_json, write_json

COHORTS = ("training", "validation", "test")
LEAST_PEOPLE = 4


def split(run: Run, config: Config) -> None:
    """Writes ``split.json``: the rows of every cohort.

    Raises:
        InputError: if too few people are left.
    """
    person_of = read_json(run.people)["person"]
    rows = [row for row in run.ingest.rows() if row["id"] in person_of]
    people = sorted(set(person_of.values()))
    if len(people) < LEAST_PEOPLE:
        raise InputError(
            f"split: {len(people)} usable person(s) after ingest, at least {LEAST_PEOPLE} are needed; "
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
