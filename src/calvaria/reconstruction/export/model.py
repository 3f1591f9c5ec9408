"""A trained model as a folder: everything needed to reconstruct an implant without the original run.

==================  ===============================================================
config.yaml         the complete config of the run, to repeat the training
network-N.safetensors  the arm's networks, with the surfaces of known skulls
model.json          names of arm and run, scores on the test people, digests
==================  ===============================================================
"""

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calvaria.config import Config, dump, load
from calvaria.errors import InputError, StoreError
from calvaria.pipeline.manifest import read_manifest, sha256
from calvaria.reconstruction.predictor import Predictor, build_predictor
from calvaria.storage.outputs import check_new, new_folder
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json, write_atomically, write_json
from calvaria.storage.tensors import read_tensors, write_tensors


def network_file(number: int) -> str:
    return f"network-{number}.safetensors"


def export(run: Run, config: Config, arm: str, out: Path) -> None:
    """Write the networks of an arm of a finished run into a new folder, in half precision; all or nothing.

    Raises:
        InputError: if the folder exists and is not empty, or cannot be written.
        StoreError: if the run is not finished, or was changed afterwards.
    """
    check_new(out)
    files = {
        network_file(seed): run.train(arm, seed) / "model.safetensors" for seed in range(config.train.seeds)
    }
    manifest = _manifest(run, config, list(files.values()))
    halves = {
        name: {key: value.astype(np.float16) for key, value in read_tensors(source).items()}
        for name, source in files.items()
    }
    about = {
        "run": config.run_name,
        "arm": arm,
        "run_digest": manifest["digest"],
        "scores": _scores(run, arm),
    }
    with new_folder(out) as folder:
        for name, tensors in halves.items():
            write_tensors(folder / name, tensors)
        write_atomically(folder / "config.yaml", dump(config))
        digests = {name: sha256(folder / name) for name in (*files, "config.yaml")}
        write_json(folder / "model.json", {**about, "sha256": digests})


def _manifest(run: Run, config: Config, weights: list[Path]) -> dict[str, Any]:
    """Return the manifest of a run after checking that it matches the config and the weights."""
    manifest = read_manifest(run)
    again = "finish the run again with snakemake"
    if manifest["config"] != config.model_dump(mode="json"):
        raise StoreError(f"{run.manifest}: does not have the config of {run.config}; {again}")
    for path in weights:
        if manifest["files"].get(path.relative_to(run.root).as_posix()) != sha256(path):
            raise StoreError(f"{path}: differs from its digest in {run.manifest}; {again}")
    return manifest


def _scores(run: Run, arm: str) -> dict[str, Any]:
    """Return mean scores over the test cases, by member of the arm."""
    from calvaria.metrics.comparison import score_of
    from calvaria.report.tables import METRICS

    scores: dict[str, Any] = {}
    rows = run.evaluate(arm).rows()
    for member in dict.fromkeys(row["seed"] for row in rows):
        member_rows = [row for row in rows if row["seed"] == member]
        values = {
            one.key: [value for row in member_rows if math.isfinite(value := score_of(row, one.key))]
            for one in METRICS
        }
        means = {key: round(float(np.mean(each)), 4) if each else None for key, each in values.items()}
        scores[str(member)] = {
            "cases": len(member_rows),
            "empty": sum(row["empty"] for row in member_rows),
            **means,
        }
    return scores


def model_files(directory: Path) -> list[str]:
    """Return the names of all files of a model."""
    return ["model.json", *read_json(directory / "model.json")["sha256"]]


def load_model(directory: Path, device: Any) -> tuple[Predictor, Config]:
    """Load a predictor from a folder, and the config that it was trained with.

    Raises:
        InputError: if the folder is not a model.
        StoreError: if a file is missing, or its digest differs from that in ``model.json``.
    """
    record = directory / "model.json"
    expected = "expected a folder that calvaria export wrote"
    if not record.is_file():
        raise InputError(f"--model {directory}: has no model.json; {expected}")
    try:
        about = read_json(record)
    except StoreError:
        raise StoreError(f"{record}: damaged; export or download the model again") from None
    digests = about.get("sha256") if isinstance(about, dict) else None
    if not isinstance(digests, dict):
        raise InputError(
            f"{record}: has no digests under sha256, so it does not describe a model; {expected}"
        )

    checked = partial(_checked, directory, digests)
    config = load(checked("config.yaml"))
    networks = {seed: _floats(checked(network_file(seed))) for seed in range(config.train.seeds)}
    return build_predictor(config, networks, device), config


def _checked(directory: Path, digests: dict[str, str], name: str) -> Path:
    """Return the path of a file of a model after checking its digest."""
    path = directory / name
    if not path.is_file():
        raise StoreError(f"{path}: missing; export or download the model again")
    if sha256(path) != digests.get(name):
        raise StoreError(f"{path}: damaged or changed; export or download the model again")
    return path


def _floats(path: Path) -> dict[str, np.ndarray]:
    return {key: value.astype(np.float32) for key, value in read_tensors(path).items()}
