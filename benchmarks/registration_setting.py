"""Setting shared by the parts of benchmarks/registration.py: the run, its config, skulls and pairs."""

import time
from pathlib import Path

import numpy as np
from registration_report import PAIRS, part_of

from calvaria.config import Config, parse
from calvaria.families.registration.plan import registrations
from calvaria.families.registration.space import Space, Ways
from calvaria.families.run_context import context_of, new_context
from calvaria.geometry.grid import Grid
from calvaria.plugins.family import Model, Population
from calvaria.storage.paths import Run


def config(run: Run) -> Config:
    """Return a config that trains on all skulls, with defaults otherwise."""
    grid = run.ingest.labels.shape[1:]
    return parse(
        {
            "name": "benchmark",
            "seed": 1,
            "grid": {"shape": list(grid), "spacing_mm": 1.0},
            "ingest": {"sources": {"it": {"kind": "phantom", "count": 2}}},
            "split": {"validation": 0.001, "test": 0.001},
            "fit": {
                "pairwise": {"kind": "registration", "pairs": PAIRS, "batch_size": 3},
                "template": {"kind": "registration", "mode": "template", "batch_size": 38},
                "ssm": {"kind": "ssm", "registration": "template"},
            },
            "inject": {"recipes": {"spheres": {"kind": "spheres"}}},
            "train": {
                "optimiser": {"steps": 1},
                "patch": 1,
                "channels": [8],
                "arms": {"it": {"families": {"ssm": 1}}},
            },
        },
        "benchmark",
    )


def population(run: Run) -> Population:
    """Return all distinct skulls."""
    masks, ids = {}, []
    for row, labels in zip(run.ingest.rows(), run.ingest.volumes(run.ingest.rows()), strict=True):
        mask = (labels > 0).astype(np.uint8)
        if mask.tobytes() not in masks:
            masks[mask.tobytes()] = mask
            ids.append(row["id"])
    found = np.stack(list(masks.values()))
    return Population(tuple(ids), found, found[:1])


class Setting:
    """Setting shared by all parts."""

    def __init__(self, ingested: str, folder: str) -> None:
        self.ingested = Run(Path(ingested))
        self.run = Run(Path(folder))
        self.run.root.mkdir(parents=True, exist_ok=True)
        link = self.run.ingest.path
        if not link.exists():
            link.symlink_to(self.ingested.ingest.path.resolve())
        self.config = config(self.ingested)
        self.grid: Grid = self.config.grid.voxels()

    def warping(self, family: str, people: Population, model: Model) -> tuple[Space, Ways]:
        """Return the skulls and the fields of a fitted registration family."""
        settings, context = self.config.fit[family], context_of(self.run, self.config, family)
        space = Space(settings, people, context.grid, context.compute, context.registered)
        return space, Ways(settings, model, context.registered)

    def pairs(self, people: Population) -> list[tuple[int, int]]:
        """Return the unordered pairs on which every method is measured."""
        rng = new_context(self.run, self.config, "pairwise").generator("pairs")
        return registrations(self.config.fit["pairwise"], len(people), rng)[:PAIRS]

    def part(self, name: str) -> Path:
        return part_of(self.run, name)


def timed(call, *arguments, **options):
    start = time.process_time()
    result = call(*arguments, **options)
    return time.process_time() - start, result
