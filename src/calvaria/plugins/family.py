"""The contract of augmentation families: a family is fitted to skulls and samples new ones.

A family is a class derived from ``Family``. Its fields are its section of the config; its methods take and
return arrays, and write only to the workspace passed to them, if any.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from calvaria import seeds
from calvaria.geometry.grid import Grid
from calvaria.plugins.compute import Compute, ComputeSettings
from calvaria.plugins.costs import FamilyCost, Load, unknown_family
from calvaria.plugins.section import Section

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Population:
    """The training skulls, and the validation skulls for early stopping and thresholds."""

    ids: tuple[str, ...]
    masks: np.ndarray  # (n, x, y, z) uint8, 1 where there is bone
    validation: np.ndarray  # (m, x, y, z) uint8
    # (n, x, y, z) and (m, x, y, z) uint8 share of every voxel in bone, 0 to 255; without them it is 0 or 255
    occupancies: np.ndarray | None = None
    validation_occupancies: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Model:
    """A fitted family: named arrays and a JSON-serialisable record."""

    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Draw:
    """One attempt at one sample; with the run's seed, it determines all random numbers of the sample."""

    index: int
    attempt: int


@dataclass(frozen=True)
class Drawn:
    """A synthetic skull with its ancestry."""

    skull: np.ndarray  # (x, y, z) uint8, 1 where there is bone
    parents: tuple[str, ...]  # ids of all real skulls that it was computed from
    parameters: dict[str, Any]
    fault: str | None = None  # why the family rejects it


class Registered(Protocol):
    """The registrations of a family, as its ``register`` returned them."""

    @property
    def template(self) -> np.ndarray | None:
        """(x, y, z) uint8 mask of the template, for a family that builds one."""

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """The rows of all batches."""

    @property
    def fields(self) -> Mapping[str, np.ndarray]:
        """The arrays of all batches by name."""


@dataclass(frozen=True)
class Registrations:
    """Registrations in memory."""

    template: np.ndarray | None = None
    rows: Sequence[dict[str, Any]] = ()
    fields: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Workspace:
    """The directory of an interruptible job, and digests that identify its unfinished work."""

    directory: Path  # for logs, and below scratch/ for the state of an interrupted job
    identity: str = ""  # digest of config and code; checkpoints with a different one are ignored
    code: str = ""  # digest of the code alone

    @property
    def scratch(self) -> Path:
        """The directory of unfinished work."""
        return self.directory / "scratch"

    @property
    def checkpoint(self) -> Path:
        """The checkpoint of a training."""
        return self.scratch / "checkpoint.safetensors"


def _ignore() -> None:
    pass


@dataclass(frozen=True)
class Context:
    """Arguments of a family's methods other than its settings and the skulls."""

    grid: Grid  # of all volumes
    name: str = "family"  # name of the family in the config, for random numbers and messages
    seed: int = 0
    compute: Compute = field(default_factory=ComputeSettings)
    batch_size: int = 4  # draws per forward pass of a network
    base: "Base | None" = None  # the fitted family that this one depends on
    registered: Registered | None = None  # for families that register
    workspace: Workspace | None = None  # nothing is written without one
    on_drawn: Callable[[], None] = _ignore  # called by ``sample`` after every skull, for progress

    def generator(self, *keys: str | int) -> np.random.Generator:
        """Return a NumPy generator for a purpose; equal keys give equal random numbers."""
        return seeds.generator(self.seed, self.name, *keys)

    def torch_generator(self, *keys: str | int) -> "torch.Generator":
        """Return a CPU torch generator for a purpose."""
        return seeds.torch_generator(self.seed, self.name, *keys)

    def draw_generator(self, draw: Draw) -> np.random.Generator:
        """Return the generator for all random numbers of one draw."""
        return self.generator("sample", draw.index, draw.attempt)


class Family(Section, ABC):
    """An augmentation family: its settings, and how it is fitted and sampled.

    A derived class has a field ``kind: Literal["NAME"]``, by which a config chooses it.
    """

    trains_network: ClassVar[bool] = False  # whether ``fit`` trains a network; see ``training``
    samples_iteratively: ClassVar[bool] = False  # whether sampling takes many passes through a network
    reconstructs: ClassVar[bool] = False  # whether it implements ``reconstruct``
    is_real: ClassVar[bool] = False  # whether its skulls are real people's
    allows_copies: ClassVar[bool] = False  # whether a sample may equal a training skull

    if TYPE_CHECKING:  # every kind declares it as a Literal

        @property
        def kind(self) -> str:
            """The kind, by which a config chooses the family."""

    @property
    def depends_on(self) -> str | None:
        """Name of the family in the config whose fitted model this one is fitted to and sampled with."""
        return None

    @property
    def builds_template(self) -> bool:
        """Whether ``build_template`` is called before ``register``."""
        return False

    def registration_batches(self, skulls: int) -> int:
        """Return the number of jobs that share the registrations of the training skulls; 0 without any."""
        return 0

    def check(self, name: str, grid: Grid, processes: int, families: Mapping[str, "Family"]) -> None:
        """Check the settings against the rest of the config.

        Args:
            name: the family's name in the config.
            grid: the canonical grid.
            processes: processes that share each training.
            families: all families of the config by name.

        Raises:
            ValueError: naming the key, its value and the expected values.
        """

    def estimated_cost(self, load: Load) -> FamilyCost:
        """Return the costs of this family's jobs, for estimates; not part of any fingerprint."""
        return unknown_family(load)

    @abstractmethod
    def fit(self, population: Population, context: Context) -> Model:
        """Fit the family to the training skulls."""

    @abstractmethod
    def sample(
        self, model: Model, population: Population, draws: Sequence[Draw], context: Context
    ) -> list[Drawn]:
        """Sample skulls in the order of ``draws``; each depends on its own draw alone."""

    def training(self, population: Population, context: Context) -> Any:
        """Return the ``calvaria.training.loop.Training`` of the network, if ``trains_network``."""
        raise NotImplementedError

    def reconstruct(
        self, model: Model, masks: np.ndarray, context: Context, occupancies: np.ndarray | None = None
    ) -> np.ndarray:
        """Pass (n, x, y, z) uint8 skulls through encoder and decoder, if ``reconstructs``.

        Args:
            occupancies: (n, x, y, z) uint8, as of a ``Population``.
        """
        raise NotImplementedError

    def build_template(self, population: Population, context: Context) -> np.ndarray:
        """Return the (x, y, z) uint8 mask of the population's template, if ``builds_template``."""
        raise NotImplementedError

    def register(
        self, population: Population, context: Context, batch: int, batches: int
    ) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
        """Compute one of ``batches`` batches of registrations, if there are ``registration_batches``.

        Returns:
            named arrays, and a row for every registration.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Base:
    """A fitted family that another one depends on."""

    name: str
    family: Family
    model: Model
    registered: Registered | None = None
