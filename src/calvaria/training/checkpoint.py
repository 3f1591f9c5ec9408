"""The state of a training on disk, as safetensors, without pickle.

All random numbers of a training come from the run's seed and the number of the step, so weights, the
optimisers' moments and a few numbers are the whole state; a resumed training gives bit-identical results.
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from calvaria.errors import StoreError
from calvaria.storage.tensors import read_about, read_tensors, write_tensors

logger = logging.getLogger(__name__)

Named = dict[str, torch.Tensor]


@dataclass
class TrainingState:
    """The progress of a training."""

    key: str  # digest of everything that the training depends on
    step: int = 0  # steps done
    best_step: int = 0  # step with the best validation figure
    best: float | None = None  # best validation figure; lower is better
    stale: int = 0  # validations since the best one
    stopped: bool = False  # whether training was stopped early


def save(path: Path, position: TrainingState, tensors: Named) -> None:
    """Write a checkpoint atomically."""
    content = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    write_tensors(path, content, json.dumps(asdict(position)))


def load(path: Path, key: str) -> tuple[TrainingState, Named] | None:
    """Return a checkpoint; None if it is absent, of another training, or damaged (with a warning)."""
    if not path.is_file():
        return None
    try:
        position = TrainingState(**json.loads(read_about(path)))
        if position.key != key:
            return None
        return position, {name: torch.from_numpy(value) for name, value in read_tensors(path).items()}
    except (StoreError, TypeError, json.JSONDecodeError) as error:
        logger.warning("%s: ignoring unusable checkpoint, starting from scratch: %s", path, error)
        return None


def optimiser_tensors(optimiser: torch.optim.Optimizer, prefix: str) -> Named:
    """Return the moments of an optimiser as named tensors."""
    state = optimiser.state_dict()["state"]
    return {
        f"{prefix}.{number}.{name}": value
        for number, moments in state.items()
        for name, value in moments.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Named, prefix: str) -> None:
    """Restore an optimiser's moments from the tensors of ``optimiser_tensors``."""
    state: dict[int, Named] = {}
    for name, value in tensors.items():
        if name.startswith(f"{prefix}."):
            number, key = name.removeprefix(f"{prefix}.").split(".")
            state.setdefault(int(number), {})[key] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def under(tensors: Named, prefix: str) -> Named:
    """Return the tensors whose names start with a prefix, without the prefix."""
    return {
        name.removeprefix(f"{prefix}."): value
        for name, value in tensors.items()
        if name.startswith(f"{prefix}.")
    }
