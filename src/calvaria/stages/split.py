"""split: who is trained on, who is validated on, who is tested on. People are split, not scans."""

import sys

from calvaria import seeds
from calvaria.config import Config
from calvaria.errors import InputError
from calvaria.families import Population
from calvaria.paths import Run
from calvaria.stages.ingest import ACCEPTED
from calvaria.store import Row, read_json, write_json

COHORTS = ("training", "validation", "test")


def split(run: Run, config: Config) -> None:
    """Writes ``split.json``: the rows of every cohort.

    Raises:
        InputError: if too few skulls were accepted.
    """
    rows = run.ingest.rows()
    for row in rows:
        if row["verdict"] != ACCEPTED:
            print(f"split: {row['id']} is left out: {row['verdict']}", file=sys.stderr)
    accepted = [row for row in rows if row["verdict"] == ACCEPTED]
    people = sorted({row["person"] for row in accepted})
    if len(people) < 4:
        raise InputError(f"split: {len(people)} usable person(s) after ingest, at least 4 are needed")
    order = seeds.generator(config.seed, "split").permutation(len(people))
    test = max(1, round(config.split.test * len(people)))
    validation = max(1, round(config.split.validation * len(people)))
    cohort_of = {}
    for place, number in enumerate(order):
        cohort = "test" if place < test else "validation" if place < test + validation else "training"
        cohort_of[people[number]] = cohort
    write_json(
        run.split,
        {
            cohort: [_entry(row) for row in accepted if cohort_of[row["person"]] == cohort]
            for cohort in COHORTS
        },
    )


def _entry(row: Row) -> Row:
    return {key: row[key] for key in ("index", "id", "person", "sha256")}


def cohort(run: Run, name: str) -> list[Row]:
    """The ingest rows of a cohort: "training", "validation" or "test"."""
    rows: list[Row] = read_json(run.split)[name]
    return rows


def training_population(run: Run) -> Population:
    """The complete skulls of the training cohort."""
    import numpy as np

    rows = cohort(run, "training")
    masks = np.stack([(labels > 0).astype(np.uint8) for labels in run.ingest.volumes(rows)])
    return Population(tuple(row["id"] for row in rows), masks)
