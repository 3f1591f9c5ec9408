"""evaluate: an arm's networks predict the implants of the test cohort; every prediction is scored."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, cast

import numpy as np

from calvaria import sources
from calvaria.config import Config
from calvaria.defects.defect import from_json
from calvaria.defects.native_grid import OwnGrid, cut
from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.metrics.scores import Scores, score
from calvaria.stages.inject import OWN
from calvaria.storage.paths import Run
from calvaria.storage.rows import (
    ENSEMBLE,
    CaseColumns,
    EvaluateColumns,
    InjectRow,
    Network,
    ScoreColumns,
    ScoreValues,
)
from calvaria.storage.store import write_shard
from calvaria.storage.tensors import read_tensors
from calvaria.utils.progress import Progress

if TYPE_CHECKING:
    from calvaria.reconstruction.predictor import Found, Predictor


@dataclass(frozen=True)
class Case:
    """A test case on the grid and in its scan."""

    row: InjectRow
    labels: np.ndarray  # (x, y, z) uint8 on the grid
    own: np.ndarray  # (i, j, k) uint8 labels in the scan
    affine: np.ndarray  # (4, 4) of the scan
    pose: np.ndarray  # (4, 4) scan to box

    @property
    def about(self) -> CaseColumns:
        """Which case it is."""
        return {"case": self.row["index"], "person": self.row["person"], "recipe": self.row["recipe"]}


def evaluate(run: Run, config: Config, arm: str) -> None:
    """Writes the arm's evaluate store: the defective skulls with the predicted implants, and their scores.

    Every network has a row per case, and so has their ensemble if the config asks for it. Scores are those
    on the scan's own grid; ``grid`` has those of the arm's networks alone, on the run's.
    """
    members: dict[Network, tuple[int, ...]] = {seed: (seed,) for seed in range(config.train.seeds)}
    if config.evaluate.ensemble and config.train.seeds > 1:
        members[ENSEMBLE] = tuple(range(config.train.seeds))
    predictors = {name: predictor_of(run, config, arm, seeds) for name, seeds in members.items()}
    progress = Progress(f"evaluate {arm}", len(members) * len(run.inject("test")), "predictions")
    volumes: list[np.ndarray] = []
    rows: list[EvaluateColumns] = []
    for case, name, found in predictions(predictors, cases(run, config), config.evaluate.batch_size):
        rows.append({**case.about, "seed": name, **case_scores(config, case, found)})
        remaining = (case.labels == BONE) * BONE
        volumes.append(np.where(found.implant, IMPLANT, remaining).astype(np.uint8))
        progress.advance()
    count = len(rows)
    write_shard(run.evaluate(arm), 0, count, count, config.grid.voxels(), np.stack(volumes), rows)


def predictions(
    predictors: Mapping[Network, "Predictor"], cases: Iterator[Case], batch_size: int
) -> Iterator[tuple[Case, Network, "Found"]]:
    """What each of several predictors, which share their fine network, finds in every case."""
    from calvaria.reconstruction.predictor import coarse_probabilities, fine_bone, predict_implant

    some = next(iter(predictors.values()))
    for few in _batches(cases, batch_size):
        labels = np.stack([case.labels for case in few])
        bones = [case.own == BONE for case in few]
        fines = [fine_bone(some, bone, case.affine, case.pose) for case, bone in zip(few, bones, strict=True)]
        for name, predictor in predictors.items():
            said = coarse_probabilities(predictor, labels)
            for case, probability, bone, fine in zip(few, said, bones, fines, strict=True):
                found = predict_implant(
                    predictor, case.labels, probability, fine, bone, case.affine, case.pose
                )
                yield case, name, found


def case_scores(config: Config, case: Case, found: "Found") -> ScoreColumns:
    """A prediction's scores in the scan; below ``grid`` those on the run's, without the fine network."""
    i, j, k = (float(length) for length in np.linalg.norm(case.affine[:3, :3], axis=0))
    own = score(found.own, case.own == IMPLANT, case.own == BONE, (i, j, k))
    spacing = (config.grid.spacing_mm,) * 3
    coarse = score(found.coarse, case.labels == IMPLANT, case.labels == BONE, spacing)
    return {**_finite(own), "empty": not found.own.any(), "grid": _finite(coarse)}


def _batches(items: Iterator[Case], size: int) -> Iterator[list[Case]]:
    while few := list(islice(items, size)):
        yield few


def predictor_of(run: Run, config: Config, arm: str, seeds: Sequence[int]) -> "Predictor":
    """An arm's trained networks, ready to predict.

    Raises:
        StoreError: if one was not trained, or its file is damaged.
    """
    from calvaria.reconstruction.predictor import build_predictor
    from calvaria.training.device import prepare_device

    networks = {seed: read_tensors(run.train(arm, seed) / "model.safetensors") for seed in seeds}
    fine = read_tensors(run.refine / "model.safetensors") if config.refine else None
    return build_predictor(config, networks, fine, prepare_device(config))


def cases(run: Run, config: Config) -> Iterator[Case]:
    """The test cases, each scan being read once."""
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
            own = scan.labels
        else:
            grid = OwnGrid.of(scan.labels.shape, scan.affine, pose)
            assert row["defect"] is not None, "null only for the recipe own"
            defect = from_json(row["defect"])
            own = cut((scan.labels > 0).astype(np.uint8), grid, defect, conformed, config.grid.voxels())
        yield Case(row, labels, own, scan.affine, pose)


def _finite(scores: Scores) -> ScoreValues:
    """Return scores with None for infinity, which JSON does not have."""
    finite = {name: value if math.isfinite(value) else None for name, value in asdict(scores).items()}
    return cast(ScoreValues, finite)
