"""Every job of a run, in the order of the work: what Snakemake will start, known from the config alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from calvaria.config import HELD_OUT, Config
from calvaria.storage.paths import Run
from calvaria.storage.store import Store

# In the order of the work.
STAGES = (
    "ingest",
    "sheet",
    "people",
    "split",
    "template",
    "register",
    "fit",
    "sample",
    "limits",
    "screen",
    "audit",
    "inject",
    "train",
    "refine",
    "evaluate",
    "report",
)


@dataclass(frozen=True)
class Job:
    """One job: a stage, for a family, cohort or arm if it has one, and a shard, batch or seed."""

    stage: str
    arguments: tuple[str | int, ...]
    outputs: tuple[Path, ...]

    @property
    def name(self) -> str:
        """That of its log and its benchmark file, such as ``sample/vae/0``."""
        return "/".join(str(part) for part in (self.stage, *self.arguments))

    @property
    def subject(self) -> str:
        """The family, cohort or arm; empty if the stage has none."""
        return next((part for part in self.arguments if isinstance(part, str)), "")

    @property
    def number(self) -> int:
        """The shard, batch or seed; 0 if the stage has none."""
        return next((part for part in self.arguments if isinstance(part, int)), 0)

    def run(self, run: Run, config: Config) -> None:
        """Does the work of the job, in this process."""
        stage = import_module(f"calvaria.stages.{self.stage}")
        getattr(stage, self.stage)(run, config, *self.arguments)


def jobs(run: Run, config: Config, skulls: int) -> list[Job]:
    """All jobs of a run with so many skulls in its sources."""
    return list(_jobs(run, config, skulls))


def _jobs(run: Run, config: Config, skulls: int) -> Iterator[Job]:
    ingested = range(-(-skulls // config.ingest.shard_size))
    sampled = range(-(-config.sample.count // config.sample.shard_size))
    for shard in ingested:
        yield Job("ingest", (shard,), (*_shard(run.ingest, shard), run.vaults(shard)))
    for shard in ingested:
        yield Job("sheet", (shard,), (run.sheet(shard),))
    yield Job("people", (), (run.people,))
    yield Job("split", (), (run.split,))
    for family, settings in config.fit.items():
        if getattr(settings, "mode", None) == "template":
            yield Job("template", (family,), (run.template(family),))
    for family in config.fit:
        for batch in range(config.batches(family, skulls)):
            outputs = (run.fields(family, batch), run.registrations(family, batch))
            yield Job("register", (family, batch), outputs)
    for family in _below_first(config):
        yield Job("fit", (family,), _weights(run.fit(family), "fit.json"))
    for family in config.fit:
        for shard in sampled:
            yield Job("sample", (family, shard), _shard(run.sample(family), shard))
    yield Job("limits", (), (run.limits,))
    for family in config.fit:
        for shard in sampled:
            yield Job("screen", (family, shard), _shard(run.screen(family), shard))
    for family in config.fit:
        yield Job("audit", (family,), (run.audit(family),))
    for cohort in (*config.fit, *HELD_OUT):
        for shard in sampled if cohort in config.fit else range(1):
            yield Job("inject", (cohort, shard), _shard(run.inject(cohort), shard))
    for arm in config.train.arms:
        for seed in range(config.train.seeds):
            yield Job("train", (arm, seed), _weights(run.train(arm, seed), "train.json"))
    if config.refine:
        yield Job("refine", (), _weights(run.refine, "refine.json"))
    for arm in config.train.arms:
        yield Job("evaluate", (arm,), _shard(run.evaluate(arm), 0))
    yield Job("report", (), (run.report, run.manifest))


def _below_first(config: Config) -> list[str]:
    """The families, each after the one that it is built on."""
    return sorted(config.fit, key=lambda family: config.below(family) is not None)


def _shard(store: Store, number: int) -> tuple[Path, Path]:
    return store.shard(number), store.table(number)


def _weights(directory: Path, record: str) -> tuple[Path, Path]:
    return directory / record, directory / "model.safetensors"
