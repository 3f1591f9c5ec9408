# The validated config, the paths of the run, and what several rules share. Imports nothing heavy.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from calvaria import config as configuration
from calvaria import sources
from calvaria.pipeline.guard import check_run_directory
from calvaria.errors import CalvariaError, InputError
from calvaria.pipeline.fingerprint import identity
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from calvaria.storage.store import clear_partial, write_atomically

try:
    CONFIG = configuration.parse(config, "config")
    SKULLS = sources.catalogue(CONFIG.ingest.sources)
    if braced := [str(path) for entry in SKULLS for path in entry.files if "{" in str(path)]:
        raise InputError(
            f"{braced[0]}: has a brace in its name, which Snakemake takes for a wildcard; rename it"
        )
    RUN = Run(Path("results") / CONFIG.name)
    check_run_directory(RUN, CONFIG)
except CalvariaError as error:
    raise WorkflowError(str(error))

SKULL_SHARDS = range(-(-len(SKULLS) // CONFIG.ingest.shard_size))
NAME = "[A-Za-z0-9][A-Za-z0-9_+-]*"


wildcard_constraints:
    family=NAME,
    cohort=NAME,
    arm=NAME,
    seed=r"\d+",
    shard=r"\d+",
    batch=r"\d+",


onstart:
    clear_partial(RUN.root)
    write_atomically(RUN.config, configuration.dump(CONFIG))


def fingerprint(name):
    """What the result of a job of a stage depends on beside its input files, by the job's wildcards."""
    (stage,) = (stage for stage in STAGES if stage.name == name)

    def of_job(wildcards):
        subject = wildcards[stage.key.option] if stage.key else ""
        number = int(wildcards[stage.number.option]) if stage.number else 0
        return identity(CONFIG, stage, subject, number)

    return of_job


def shards(store, count, size):
    """The files of all shards of a store of `count` volumes, and their tables."""
    numbers = range(-(-count // size))
    return [path for k in numbers for path in (store.shard(k), store.table(k))]


def skulls(wildcards):
    """The real skulls and who of them is trained on."""
    return [RUN.split, *shards(RUN.ingest, len(SKULLS), CONFIG.ingest.shard_size)]


def registered(family):
    """The registrations of a family, if it is one that registers."""
    batches = range(CONFIG.batches(family, len(SKULLS)))
    found = [path for k in batches for path in (RUN.fields(family, k), RUN.registrations(family, k))]
    return found + ([RUN.template(family)] if found and CONFIG.fit[family].builds_template else [])


def model(family):
    """All that fitting a family leaves to those who sample it."""
    return [RUN.fit(family) / "fit.json", RUN.fit(family) / "model.safetensors", *registered(family)]


def fitted(wildcards):
    """The model of a family, and that of the one below it."""
    families = [wildcards.family, CONFIG.below(wildcards.family)]
    return [path for family in families if family for path in model(family)]


def below(wildcards):
    """What a family is fitted to: the skulls, its registrations, and the model of the family below it."""
    family = CONFIG.below(wildcards.family)
    return skulls(wildcards) + registered(wildcards.family) + (model(family) if family else [])


def whole(wildcards):
    """The complete skulls that get defects: a shard of a family, or a held-out cohort."""
    if wildcards.cohort in configuration.HELD_OUT:
        return skulls(wildcards)
    store = RUN.screen(wildcards.cohort)
    return [store.shard(wildcards.shard), store.table(wildcards.shard)]


def cases(cohort):
    """The shards of a cohort's cases; a held-out cohort is one shard."""
    if cohort in configuration.HELD_OUT:
        return shards(RUN.inject(cohort), 1, 1)
    return shards(RUN.inject(cohort), CONFIG.sample.count, CONFIG.sample.shard_size)


def networks(arm):
    """All networks that predict an arm's implants."""
    seeds = range(CONFIG.train.seeds)
    trained = [RUN.train(arm, seed) / name for seed in seeds for name in ("train.json", "model.safetensors")]
    fine = [RUN.refine / name for name in ("refine.json", "model.safetensors")]
    return trained + (fine if CONFIG.refine else [])
