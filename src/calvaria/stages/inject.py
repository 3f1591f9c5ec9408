"""Cut synthetic defects into the skulls of a family, or into held-out real skulls.

Example: calvaria inject --run results/demo --cohort vae --shard 0
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calvaria.pipeline import costs, reads, roots
from calvaria.pipeline.stage import COHORT, SHARD, Stage, sample_shards, shard_files

if TYPE_CHECKING:
    import numpy as np

    from calvaria.config import Config
    from calvaria.storage.paths import Run
    from calvaria.storage.rows import CaseSkull, InjectColumns, Origin

OWN = "own"  # recipe name for the original defect of a held-out skull


@dataclass(frozen=True)
class Subject:
    """A skull that gets defects."""

    index: int  # in its cohort; part of the seed
    labels: np.ndarray  # (x, y, z) uint8
    defects: int
    ancestry: Origin


def inject(run: Run, config: Config, cohort: str, shard: int) -> None:
    """Write one shard of cases; every row has the parameters of its defect."""
    import numpy as np

    from calvaria import seeds
    from calvaria.config import HELD_OUT
    from calvaria.defects.defect import to_json
    from calvaria.defects.injection import inject_defect
    from calvaria.geometry.grid import IMPLANT
    from calvaria.skull.vault import find_vault
    from calvaria.storage.store import write_shard
    from calvaria.utils.progress import Progress

    grid = config.grid.voxels()
    volumes: list[np.ndarray] = []
    rows: list[InjectColumns] = []
    subjects = list(
        _held_out(run, config, cohort) if cohort in HELD_OUT else _synthetic(run, config, cohort, shard)
    )
    total = sum(subject.defects for subject in subjects)
    progress = Progress(f"inject {cohort} {shard}", total, "cases")
    for subject in subjects:
        skull = (subject.labels > 0).astype(np.uint8)
        vault = find_vault(skull, grid)
        about: CaseSkull = {"cohort": cohort, "skull": subject.index, **subject.ancestry}
        if cohort in HELD_OUT and (subject.labels == IMPLANT).any():
            volumes.append(subject.labels)
            rows.append(
                {
                    **about,
                    "recipe": OWN,
                    "defect": None,
                    "attempt": 0,
                    "implant_ml": _implant_ml(subject.labels, config),
                }
            )
        for number in range(subject.defects):

            def rng(attempt: int, index: int = subject.index, number: int = number) -> np.random.Generator:
                return seeds.generator(config.seed, "inject", cohort, index, number, attempt)

            case = inject_defect(skull, grid, config.inject, rng, vault)
            volumes.append(case.labels)
            rows.append(
                {
                    **about,
                    "recipe": case.recipe,
                    "defect": to_json(case.defect),
                    "attempt": case.attempt,
                    "implant_ml": _implant_ml(case.labels, config),
                }
            )
            progress.advance()
    if cohort in HELD_OUT:  # a held-out cohort is one shard, since its size is known only after split
        count = size = len(rows)
    else:
        count = config.sample.count * config.inject.per_skull
        size = config.sample.shard_size * config.inject.per_skull
    write_shard(run.inject(cohort), shard, count, size, grid, np.stack(volumes), rows)


def _synthetic(run: Run, config: Config, family: str, shard: int) -> Iterator[Subject]:
    rows = run.screen(family).shard_rows(shard)
    for row, labels in zip(rows, run.screen(family).volumes(rows), strict=True):
        ancestry: Origin = {"parents": row["parents"], "person": None}
        yield Subject(row["index"], labels, config.inject.per_skull, ancestry)


def _held_out(run: Run, config: Config, cohort: str) -> Iterator[Subject]:
    from calvaria.storage.cohorts import cohort as held_out

    rows = held_out(run, cohort)
    for row, labels in zip(rows, run.ingest.volumes(rows), strict=True):
        ancestry: Origin = {"parents": [row["id"]], "person": row["person"]}
        yield Subject(row["index"], labels, config.inject.per_held_out_skull, ancestry)


def _implant_ml(labels: np.ndarray, config: Config) -> float:
    import numpy as np

    from calvaria.geometry.grid import IMPLANT

    voxels = np.count_nonzero(labels == IMPLANT)
    return round(voxels * config.grid.spacing_mm**3 / 1000, 3)


def _reads(config: Config, cohort: str, shard: int) -> dict[str, Any]:
    defects = reads.defects(config)
    if cohort not in config.fit:
        defects["per_held_out_skull"] = config.inject.per_held_out_skull
        return reads.base(config) | {"inject": defects}
    defects["per_skull"] = config.inject.per_skull
    return reads.base(config) | {"inject": defects} | reads.shard(config, shard)


def _shards(config: Config, cohort: str, skulls: int) -> int:
    return sample_shards(config, cohort, skulls) if cohort in config.fit else 1


STAGE = Stage(
    name="inject",
    help=__doc__,
    run=inject,
    outputs=lambda run, cohort, shard: shard_files(run.inject(cohort), shard),
    reads=_reads,
    key=COHORT,
    number=SHARD,
    count=_shards,
    roots=roots.recipes,
    cost=costs.inject,
    recomputable=True,
)
