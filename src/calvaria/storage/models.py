"""Fitted families in a run's directory."""

from pathlib import Path

from calvaria.plugins.family import Model
from calvaria.storage.store import read_json, write_json
from calvaria.storage.tensors import read_tensors, write_tensors


def save_model(directory: Path, model: Model) -> None:
    """Write ``model.safetensors`` and, last, ``fit.json``."""
    write_tensors(directory / "model.safetensors", model.tensors)
    write_json(directory / "fit.json", model.record)


def load_model(directory: Path) -> Model:
    """Read the files of ``save_model``.

    Raises:
        StoreError: if a file is missing or damaged.
    """
    return Model(read_tensors(directory / "model.safetensors"), read_json(directory / "fit.json"))
