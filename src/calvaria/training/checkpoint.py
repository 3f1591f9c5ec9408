"""The state of a training on disk, as safetensors: nothing is ever unpickled.

All random numbers of a training come from the run's seed and the number of the step, so weights, the
optimisers' moments and a few numbers are all there is; a resumed training ends with the same bits.
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

    key: str  # digest of all that the training depends on
    step: int = 0  # steps done
    best_step: int = 0  # after which the validation figure was best
    best: float | None = None  # that figure; lower is better
    stale: int = 0  # validations since then
    stopped: bool = False  # whether it ended early


def save(path: Path, position: TrainingState, tensors: Named) -> None:
    """Write a checkpoint atomically."""
    content = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    write_tensors(path, content, json.dumps(asdict(position)))


def load(path: Path, key: str) -> tuple[TrainingState, Named] | None:
    """Return what ``save`` wrote; None if it is absent, of another training, or damaged (with a warning)."""
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
    """Load what ``optimiser_tensors`` returned."""
    state: dict[int, Named] = {}
    for name, value in tensors.items():
        if name.startswith(f"{prefix}."):
            number, key = name.removeprefix(f"{prefix}.").split(".")
            state.setdefault(int(number), {})[key] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def under(tensors: Named, prefix: str) -> Named:
    """Return the tensors whose names start with a prefix, with the prefix removed."""
    return {
        name.removeprefix(f"{prefix}."): value
        for name, value in tensors.items()
        if name.startswith(f"{prefix}.")
    }
