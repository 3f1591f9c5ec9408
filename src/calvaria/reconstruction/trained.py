"""An exported model whose networks are loaded when they are first used."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from calvaria.config import Config, load
from calvaria.errors import InputError

if TYPE_CHECKING:
    from calvaria.reconstruction.predictor import Predictor


@dataclass(frozen=True)
class TrainedModel:
    """A folder that `calvaria export` wrote."""

    folder: Path
    config: Config

    @classmethod
    def open(cls, folder: Path, threads: int | None = None) -> "TrainedModel":
        """Read the config of a model; this imports no torch.

        Args:
            threads: CPU threads; by default those of the config.

        Raises:
            InputError: if the folder has no config.
        """
        if not (folder / "config.yaml").is_file():
            raise InputError(
                f"--model {folder}: has no config.yaml; expected a folder that calvaria export wrote"
            )
        config = load(folder / "config.yaml")
        return cls(folder, config.model_copy(update={"threads": threads or config.threads}))

    @cached_property
    def predictor(self) -> "Predictor":
        """The networks, loaded once."""
        from calvaria.reconstruction.export.model import load_model
        from calvaria.training.device import prepare_device

        # A model that was trained on a GPU also runs without one.
        device = "cpu" if self.config.device == "cpu" else "auto"
        return load_model(self.folder, prepare_device(self.config.model_copy(update={"device": device})))[0]
