"""Predict the implants of the test cohort and score them.

Example: calvaria evaluate --run results/demo --arm ldm
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from calvaria.pipeline import costs, reads, roots
from calvaria.pipeline.stage import ARM, Stage, shard_files

if TYPE_CHECKING:
    import numpy as np

    from calvaria import sources
    from calvaria.config import Config
    from calvaria.metrics.scores import Scores
    from calvaria.reconstruction.native_case import NativeCase
    from calvaria.reconstruction.predictor import Prediction, Predictor
    from calvaria.storage.paths import Run
    from calvaria.storage.rows import (
        CaseColumns,
        EvaluateColumns,
        InjectRow,
        Network,
        ScoreColumns,
        ScoreValues,
    )

NETWORK = ("patch", "channels", "mirror", "predicts", "completion", "deep_supervision")  # its architecture


@dataclass(frozen=True)
class Case:
    """A test case."""

    row: InjectRow
    skull: NativeCase

    @property
    def about(self) -> CaseColumns:
        """The columns that identify the case."""
        return {"case": self.row["index"], "person": self.row["person"], "recipe": self.row["recipe"]}


def evaluate(run: Run, config: Config, arm: str) -> None:
    """Write the arm's evaluate store: the defective skulls with the predicted implants, and their scores.

    Each network, and the ensemble if configured, has one row per case. Scores refer to the native grid;
    ``grid`` has the scores of the coarse networks alone, on the canonical grid.
    """
    import numpy as np

    from calvaria.geometry.grid import BONE, IMPLANT
    from calvaria.storage.rows import ENSEMBLE
    from calvaria.storage.store import write_shard
    from calvaria.utils.progress import Progress

    members: dict[Network, tuple[int, ...]] = {seed: (seed,) for seed in range(config.train.seeds)}
    if config.evaluate.ensemble and config.train.seeds > 1:
        members[ENSEMBLE] = tuple(range(config.train.seeds))
    predictors = {name: predictor_of(run, config, arm, seeds) for name, seeds in members.items()}
    progress = Progress(f"evaluate {arm}", len(members) * len(run.inject("test")), "predictions")
    volumes: list[np.ndarray] = []
    rows: list[EvaluateColumns] = []
    for case, name, prediction in predictions(predictors, cases(run, config), config.evaluate.batch_size):
        rows.append({**case.about, "seed": name, **case_scores(config, case, prediction)})
        remaining = (case.skull.labels == BONE) * BONE
        volumes.append(np.where(prediction.implant, IMPLANT, remaining).astype(np.uint8))
        progress.advance()
    count = len(rows)
    write_shard(run.evaluate(arm), 0, count, count, config.grid.voxels(), np.stack(volumes), rows)


def predictions(
    predictors: Mapping[Network, Predictor], cases: Iterator[Case], batch_size: int
) -> Iterator[tuple[Case, Network, Prediction]]:
    """Predict every case with each of several named predictors."""
    for batch in _batches(cases, batch_size):
        for name, predictor in predictors.items():
            results = predictor.predict_many([case.skull for case in batch])
            for case, prediction in zip(batch, results, strict=True):
                yield case, name, prediction


def case_scores(config: Config, case: Case, prediction: Prediction) -> ScoreColumns:
    """Return scores on the native grid; under ``grid`` those of the coarse networks on the canonical grid."""
    import numpy as np

    from calvaria.geometry.grid import BONE, IMPLANT
    from calvaria.metrics.scores import score

    skull = case.skull
    i, j, k = (float(length) for length in np.linalg.norm(skull.affine[:3, :3], axis=0))
    found = prediction.native
    native = score(found, skull.native_labels == IMPLANT, skull.native_bone, (i, j, k))
    spacing = (config.grid.spacing_mm,) * 3
    coarse = score(prediction.coarse, skull.labels == IMPLANT, skull.labels == BONE, spacing)
    return {**_finite(native), "empty": not found.any(), "grid": _finite(coarse)}


def _batches(items: Iterator[Case], size: int) -> Iterator[list[Case]]:
    while batch := list(islice(items, size)):
        yield batch


def predictor_of(run: Run, config: Config, arm: str, seeds: Sequence[int]) -> Predictor:
    """Load a predictor with an arm's trained networks.

    Raises:
        StoreError: if a network has not been trained, or its file is damaged.
    """
    from calvaria.reconstruction.predictor import build_predictor
    from calvaria.storage.tensors import read_tensors
    from calvaria.training.device import prepare_device

    networks = {seed: read_tensors(run.train(arm, seed) / "model.safetensors") for seed in seeds}
    return build_predictor(config, networks, prepare_device(config))


def cases(run: Run, config: Config) -> Iterator[Case]:
    """Yield the test cases, reading each scan once."""
    import numpy as np

    from calvaria import sources
    from calvaria.defects.defect import from_json
    from calvaria.defects.native_grid import OwnGrid, cut
    from calvaria.reconstruction.native_case import NativeCase
    from calvaria.stages.inject import OWN

    store = run.inject("test")
    rows = store.rows()
    ingested = {row["id"]: row for row in run.ingest.rows()}
    entries = {entry.id: entry for entry in sources.catalogue(config.ingest.sources)}
    last: str | None = None
    scan: sources.Scan
    conformed: np.ndarray
    for row, labels in zip(rows, store.volumes(rows), strict=True):
        (parent,) = row["parents"]
        about = ingested[parent]
        if parent != last:
            scan, last = sources.read(config.ingest.sources, entries[parent], config.seed), parent
            conformed = (run.ingest.volume(about) > 0).astype(np.uint8)
        pose = np.array(about["pose"])
        if row["recipe"] == OWN:
            native = scan.labels
        else:
            grid = OwnGrid.of(scan.labels.shape, scan.affine, pose)
            assert row["defect"] is not None, "null only for the recipe own"
            defect = from_json(row["defect"])
            native = cut((scan.labels > 0).astype(np.uint8), grid, defect, conformed, config.grid.voxels())
        yield Case(row, NativeCase(labels, native, scan.affine, pose))


def _finite(scores: Scores) -> ScoreValues:
    """Return scores with None for infinity, which JSON cannot represent."""
    from calvaria.storage.rows import ScoreValues

    finite = {name: value if math.isfinite(value) else None for name, value in asdict(scores).items()}
    return cast(ScoreValues, finite)


def _reads(config: Config, arm: str, _: int) -> dict[str, Any]:
    network = config.train.model_dump(mode="json", include=set(NETWORK))
    return (
        reads.compute(config)
        | reads.section(config, "evaluate")
        | {"network": network, "seeds": config.train.seeds, "sources": reads.sources(config)}
    )


STAGE = Stage(
    name="evaluate",
    help=__doc__,
    run=evaluate,
    outputs=lambda run, arm, _: shard_files(run.evaluate(arm), 0),
    reads=_reads,
    key=ARM,
    roots=roots.sources,
    cost=costs.evaluate,
    recomputable=True,
)
