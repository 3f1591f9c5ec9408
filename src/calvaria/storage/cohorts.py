"""The skulls of each cohort of a run, once the stage ``split`` has written it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from calvaria.plugins.family import Population
from calvaria.storage.paths import Run
from calvaria.storage.rows import CohortRow
from calvaria.storage.store import read_json
from calvaria.storage.tensors import read_tensor


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
    validation_ids, validation = skulls(run, "validation")
    return Population(ids, masks, validation, occupancies(run, ids), occupancies(run, validation_ids))


def occupancies(run: Run, ids: Sequence[str]) -> np.ndarray:
    """Return the (n, x, y, z) uint8 share of every voxel in bone, 0 to 255, of identified skulls."""
    return _beside_ingest(run, ids, run.occupancies, "occupancies")


def vaults(run: Run, ids: Sequence[str]) -> np.ndarray:
    """Return the (n, 3, SIZE, SIZE) float32 images of a ``VaultPicture`` of identified scans."""
    return _beside_ingest(run, ids, run.vaults, "vaults")


def _beside_ingest(run: Run, ids: Sequence[str], shard_file: Callable[[int], Path], name: str) -> np.ndarray:
    """Return what ``ingest`` has written for identified skulls beside their store, one tensor per shard."""
    labels = run.ingest.labels
    size = (labels.shards or labels.chunks)[0]
    index = {row["id"]: row["index"] for row in run.ingest.rows()}
    tensors = {
        shard: read_tensor(shard_file(shard), name) for shard in sorted({index[i] // size for i in ids})
    }
    return np.stack([tensors[index[one] // size][index[one] % size] for one in ids])


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
