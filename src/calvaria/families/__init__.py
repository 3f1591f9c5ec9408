"""An augmentation family is two functions, ``fit`` and ``sample``; everything around them is shared.

============  =================================================================================
real          the training skulls themselves
registration  ANTs SyN, pairwise or through a template; a sample is one skull warped towards another
ssm           statistical deformation model of a template's fields
vae           3-D KL autoencoder, sampled from a Gaussian fitted to its latents
vqvae         3-D vector-quantised autoencoder, sampled in the same way
wgan          volumetric WGAN-GP
introvae      soft introspective VAE, sampled from its prior
ldm           latent diffusion over the latents of an autoencoder family
============  =================================================================================

A family's module is called like its ``kind`` and has

    fit(population: Population, task: Task) -> Model
    sample(model: Model, population: Population, draws: Sequence[Draw], task: Task) -> list[Drawn]

Where a network is trained it also has ``training(population, task) -> Training``, which ``fit`` gives to the
training loop; and autoencoders have ``reconstruct(model, masks, task)``, which the audit looks at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from calvaria import seeds
from calvaria.config import Config
from calvaria.storage.cohorts import Population
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json, write_json
from calvaria.storage.tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Model:
    """What ``fit`` found: named arrays and a record that can be written as JSON."""

    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Draw:
    """One try at one sample; it alone, with the run's seed, determines the sample's randomness."""

    index: int
    attempt: int


@dataclass(frozen=True)
class Drawn:
    """A synthetic skull with its ancestry."""

    skull: np.ndarray  # (x, y, z) uint8, 1 where there is bone
    parents: tuple[str, ...]  # ids of every real skull that had a part in it
    parameters: dict[str, Any]
    fault: str | None = None  # why the family itself rejects it


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Task:
    """Which family of which run is being fitted or sampled."""

    run: Run
    config: Config
    family: str
    drawn: Callable[[], None] = _nothing  # called by ``sample`` after every skull, for those who wait

    @property
    def settings(self) -> Any:
        """The family's section of the config."""
        return self.config.fit[self.family]

    def generator(self, *keys: str | int) -> np.random.Generator:
        return seeds.generator(self.config.seed, self.family, *keys)

    def torch_generator(self, *keys: str | int) -> "torch.Generator":
        return seeds.torch_generator(self.config.seed, self.family, *keys)

    def draw_generator(self, draw: Draw) -> np.random.Generator:
        return self.generator("sample", draw.index, draw.attempt)


class FamilyModule(Protocol):
    """What the module of a family offers."""

    def fit(self, population: Population, task: Task) -> Model: ...

    def sample(
        self, model: Model, population: Population, draws: Sequence[Draw], task: Task
    ) -> list[Drawn]: ...


def family_module(kind: str) -> FamilyModule:
    """The module of a kind of family, imported when it is needed."""
    return import_module(f"calvaria.families.{kind}")


def save_model(directory: Path, model: Model) -> None:
    """Writes ``model.safetensors`` and, last, ``fit.json``."""
    write_tensors(directory / "model.safetensors", model.tensors)
    write_json(directory / "fit.json", model.record)


def load_model(directory: Path) -> Model:
    """Reads what ``save_model`` wrote.

    Raises:
        StoreError: if a file is missing or damaged.
    """
    return Model(read_tensors(directory / "model.safetensors"), read_json(directory / "fit.json"))


def draw_skulls(
    population: Population, draws: Sequence[Draw], task: Task, model: Model | None = None
) -> list[Drawn]:
    """Draws skulls from a fitted family, in the order of ``draws``."""
    model = model or load_model(task.run.fit(task.family))
    return family_module(task.settings.kind).sample(model, population, draws, task)
