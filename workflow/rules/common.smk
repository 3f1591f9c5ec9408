# The validated config, the paths of the run, and functions shared by several rules. Imports nothing heavy.
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
    RUN = Run(Path("results") / CONFIG.run_name)
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
    """Return a function from a job's wildcards to the fingerprint of its result, excluding input files."""
    (stage,) = (stage for stage in STAGES if stage.name == name)

    def of_job(wildcards):
        subject = wildcards[stage.key.option] if stage.key else ""
        number = int(wildcards[stage.number.option]) if stage.number else 0
        return identity(CONFIG, stage, subject, number)

    return of_job


def shards(store, count, size):
    """Return the files of all shards of a store of `count` volumes, and their tables."""
    numbers = range(-(-count // size))
    return [path for k in numbers for path in (store.shard(k), store.table(k))]


def skulls(wildcards):
    """Return the files of the real skulls and of their split."""
    size = CONFIG.ingest.shard_size
    occupancies = [RUN.occupancies(k) for k in SKULL_SHARDS]
    return [RUN.split, *shards(RUN.ingest, len(SKULLS), size), *occupancies]


def registered(family):
    """Return the registration files of a family; empty for a family without registrations."""
    batches = range(CONFIG.batches(family, len(SKULLS)))
    found = [path for k in batches for path in (RUN.fields(family, k), RUN.registrations(family, k))]
    return found + ([RUN.template(family)] if found and CONFIG.fit[family].builds_template else [])


def model(family):
    """Return the files of a fitted family that sampling needs."""
    return [RUN.fit(family) / "fit.json", RUN.fit(family) / "model.safetensors", *registered(family)]


def fitted(wildcards):
    """Return the model files of a family and of the family that it builds on."""
    families = [wildcards.family, CONFIG.below(wildcards.family)]
    return [path for family in families if family for path in model(family)]


def below(wildcards):
    """Return the inputs of a fit: skulls, registrations, and the model of the family that it builds on."""
    family = CONFIG.below(wildcards.family)
    return skulls(wildcards) + registered(wildcards.family) + (model(family) if family else [])


def whole(wildcards):
    """Return the complete skulls that receive defects: a shard of a family, or a held-out cohort."""
    if wildcards.cohort in configuration.HELD_OUT:
        return skulls(wildcards)
    store = RUN.screen(wildcards.cohort)
    return [store.shard(wildcards.shard), store.table(wildcards.shard)]


def cases(cohort):
    """Return the shards of a cohort's cases; a held-out cohort is one shard."""
    if cohort in configuration.HELD_OUT:
        return shards(RUN.inject(cohort), 1, 1)
    return shards(RUN.inject(cohort), CONFIG.sample.count, CONFIG.sample.shard_size)


def networks(arm):
    """Return the files of all networks that predict an arm's implants."""
    seeds = range(CONFIG.train.seeds)
    return [RUN.train(arm, seed) / name for seed in seeds for name in ("train.json", "model.safetensors")]
