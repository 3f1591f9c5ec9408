"""A stage of the pipeline as one object, from which its command, jobs and fingerprint are derived.

Every module of ``calvaria.stages`` declares one; ``calvaria.stages.STAGES`` lists them in order. Both the
command line and the Snakefile import them, so neither this module nor a stage's module imports heavy packages
at the top level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calvaria.pipeline import costs

if TYPE_CHECKING:
    from pathlib import Path

    from calvaria.config import Config
    from calvaria.pipeline.costs import Cost, Sizes
    from calvaria.storage.paths import Run
    from calvaria.storage.store import Store


@dataclass(frozen=True)
class Key:
    """The names of the jobs of a stage."""

    option: str  # of the command, and the wildcard of the rule
    names: Callable[[Config], Sequence[str]]


@dataclass(frozen=True)
class Number:
    """The numbers of the jobs of a stage."""

    option: str  # of the command, and the wildcard of the rule
    help: str


def _families(config: Config) -> Sequence[str]:
    return tuple(config.fit)


def _arms(config: Config) -> Sequence[str]:
    return tuple(config.train.arms)


def _cohorts(config: Config) -> Sequence[str]:
    from calvaria.config import HELD_OUT

    return (*config.fit, *HELD_OUT)


FAMILY = Key("family", _families)
ARM = Key("arm", _arms)
COHORT = Key("cohort", _cohorts)

SHARD = Number("shard", "Number of the shard.")
BATCH = Number("batch", "Number of the batch of registrations.")
SEED = Number("seed", "Number of the network within the arm.")


def _one(config: Config, name: str, skulls: int) -> int:
    return 1


def _nothing(config: Config, name: str) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Stage:
    """Name, outputs and dependencies of a stage."""

    name: str
    """Name of its rule, its command, its log and its benchmark file."""
    help: str
    """Help of its command: a line, optionally a paragraph, and a final paragraph ``Example: COMMAND``."""
    run: Callable[..., None]
    """Run a job: ``run(run, config)``, followed by the name and the number if there are any."""
    outputs: Callable[[Run, str, int], tuple[Path, ...]]
    """The files that a job writes, from its name ("" if it has none) and its number (0)."""
    reads: Callable[[Config, str, int], dict[str, Any]]
    """The parts of the config that a job's result depends on, as JSON."""
    key: Key | None = None
    """The names of its jobs, if they have one."""
    number: Number | None = None
    """The numbers of its jobs, if they have one."""
    names: Callable[[Config], Sequence[str]] | None = None
    """The names of the jobs of a config, in order, if not all of the key: see ``job_names``."""
    count: Callable[[Config, str, int], int] = _one
    """Number of numbered jobs of a name; the last argument is the number of skulls in the sources."""
    roots: Callable[[Config, str], Sequence[str]] = _nothing
    """Modules that a job runs but its own module does not import, such as that of its family."""
    resources: tuple[str, ...] = ()
    """Folders of the package whose files a result depends on."""
    cost: Callable[[Job, Config, Sizes], Cost] = costs.record
    """Cost of a job."""
    is_data: bool = True
    """Whether the outputs belong to the manifest; pages and pictures for people do not."""
    recomputable: bool = False
    """Whether ``verify --recompute`` may run a job again: each writes one shard of a store."""
    dry_run: Callable[..., str] | None = None
    """Measure the cost of a job in a few steps and report it; takes the arguments of ``run``."""

    def jobs(self, run: Run, config: Config, skulls: int) -> Iterator[Job]:
        """Yield the jobs of a run whose sources have this number of skulls."""
        for name in self.job_names(config):
            for number in range(self.count(config, name, skulls)):
                yield Job(self, name, number, self.outputs(run, name, number))

    def job_names(self, config: Config) -> Sequence[str]:
        """Return the names of the jobs of a config; ``("",)`` if there is one without a name."""
        if self.names is not None:
            return self.names(config)
        return self.key.names(config) if self.key else ("",)

    def arguments(self, name: str, number: int) -> tuple[str | int, ...]:
        """Return the arguments of ``run`` after the run and its config."""
        return (*([name] if self.key else []), *([number] if self.number else []))


@dataclass(frozen=True)
class Job:
    """One job: a stage, for a family, cohort or arm if it has one, and a shard, batch or seed."""

    stage: Stage
    subject: str  # the family, cohort or arm; empty if the stage has none
    number: int  # the shard, batch or seed; 0 if the stage has none
    outputs: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Name of its log and its benchmark file, such as ``sample/vae/0``."""
        return "/".join(
            str(part) for part in (self.stage.name, *self.stage.arguments(self.subject, self.number))
        )

    def run(self, run: Run, config: Config) -> None:
        """Run the job in this process."""
        self.stage.run(run, config, *self.stage.arguments(self.subject, self.number))


def ingest_shards(config: Config, name: str, skulls: int) -> int:
    """Return the number of shards of ``skulls`` skulls."""
    return -(-skulls // config.ingest.shard_size)


def sample_shards(config: Config, name: str, skulls: int) -> int:
    """Return the number of shards of a family's samples."""
    return -(-config.sample.count // config.sample.shard_size)


def shard_files(store: Store, number: int) -> tuple[Path, Path]:
    """Return the file of one shard of a store, and its table."""
    return store.shard(number), store.table(number)


def weight_files(directory: Path, record: str) -> tuple[Path, Path]:
    """Return the record and the weights of a fitted family or a trained network."""
    return directory / record, directory / "model.safetensors"
