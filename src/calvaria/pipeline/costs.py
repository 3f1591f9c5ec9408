"""Cost of a job: seconds of one core and bytes on disk, scaled from measurements.

The constants were measured on one core of a 2-core virtual machine without a GPU (x86-64, torch 2.13,
float32), from Snakemake's benchmark files of two finished runs: ``workflow/presets/skullfix.yaml`` on 75 real
skulls (64 x 72 x 64 voxels) and the demo ``config.yaml`` (48 x 56 x 48). How a cost grows between and beyond
them is reasoned: with voxels, with what a network's convolutions multiply, with steps and counts.
``benchmarks/estimate.md`` compares. A GPU was not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.pipeline.stage import Job

# Seconds until a job's work begins: imports, reading the training skulls.
START, START_TORCH = 0.6, 5.0
PER_PAIR = 0.0065  # of people compared
SYN = 2.7e-6  # per voxel and iteration of a registration, on its finest level
# Per scan, of what it takes to read, pose and resample one of each kind.
SCAN = {"phantom": 1.0, "folder": 0.6, "skullfix": 6.5, "skullbreak": 6.5, "mug500": 6.5, "ct": 5.0}
RESAMPLE = 1.7e-7  # per voxel of the grid
# Per skull and step of a training, and unit of `work`: all that the family does in a step.
STEP = {"vae": 1.4e-8, "vqvae": 2.0e-8, "introvae": 8.2e-8, "wgan": 1.6e-8, "ldm": 4.2e-8}
STEP_TRAIN, GEOMETRIC = 1.3e-8, 1.2
STEP_REFINE = 2.4e-8  # the same of the fine network; measured once, in the long comparison
DENOISE, DECODE = 6e-9, 1e-6  # per unit of work and sampling step; per voxel
DRAW = {"registration": 3.1e-7, "ssm": 3.5e-7, "vae": 3e-7, "vqvae": 3e-7, "introvae": 3e-7, "wgan": 3e-7}
DEMONS = 2.3e-7  # per voxel and round of refining a field
SCREEN, REDRAWN = 1.8e-7, 0.05  # per voxel of a skull; share of the draws that are made again
CUT = 1.9e-8  # per voxel of a case
PREDICT, REFINE = 0.3, 3.5e-8  # per prediction in its scan; per unit of work of the fine network
VOLUME_BYTES = 0.025  # per voxel of a stored volume, compressed
VAULT_BYTES, REPORT_BYTES = 80e3, 10e6
MODEL_BYTES = {"vae": 45e6, "vqvae": 45e6, "introvae": 50e6, "wgan": 130e6, "ldm": 80e6, "ssm": 6e6}
NETWORK_BYTES = 300  # per square of a channel: weights of a reconstruction network and their log

RECORD_BYTES, SHEET_BYTES = 1e5, 25e3  # of a record or a table; per skull of a contact sheet

# What a kind of family or source that was not measured counts as.
UNKNOWN_NETWORK, UNKNOWN_FAMILY, UNKNOWN_SOURCE = "vae", "ssm", "folder"
PATCH, CHANNELS = 4, (64,)  # of a network that does not say its own
KNOWN_FAMILIES = ("real", *DRAW, "ldm")


@dataclass(frozen=True)
class Cost:
    """Cost of a job."""

    seconds: float  # of one core
    bytes: float  # that it leaves on disk


@dataclass(frozen=True)
class Sizes:
    """Numbers of skulls, as far as known before a run."""

    kinds: tuple[str, ...]  # of the source of every skull
    training: int
    validation: int
    test: int

    @property
    def skulls(self) -> int:
        return len(self.kinds)


def sizes(config: Config, kinds: Sequence[str]) -> Sizes:
    """Sizes of a run on skulls of sources of these kinds, each another person's and none left out."""
    test = max(1, round(config.split.test * len(kinds)))
    validation = max(1, round(config.split.validation * len(kinds)))
    return Sizes(tuple(kinds), max(1, len(kinds) - test - validation), validation, test)


def unknown(config: Config) -> list[str]:
    """Return one line per family or source of a kind that was not measured, with its assumed cost."""
    families, sources = config.fit.items(), config.ingest.sources.items()
    parts: list[tuple[str, str, str]] = [
        *((f"fit.{name}", family.kind, _kind(family)) for name, family in families),
        *((f"ingest.sources.{name}", source.kind, _source(source.kind)) for name, source in sources),
    ]
    return [
        f"unknown cost: {key} (kind {kind}), counted as {known}"
        for key, kind, known in parts
        if kind != known
    ]


def _kind(settings: Any) -> str:
    """The kind that a family counts as."""
    if settings.kind in KNOWN_FAMILIES:
        return str(settings.kind)
    return UNKNOWN_NETWORK if settings.trains_network else UNKNOWN_FAMILY


def _source(kind: str) -> str:
    """The kind that a source counts as."""
    return kind if kind in SCAN else UNKNOWN_SOURCE


def record(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of a job that only writes a record or a table, or whose cost is unknown."""
    return Cost(START, RECORD_BYTES)


def _work(voxels: float, patch: int, channels: Sequence[int]) -> float:
    """Return the multiplications of a network's convolutions, from its finest level to its coarsest.

    The finest has the patch folded into its channels; every level has half the places of the one before.
    """
    return sum(voxels / (patch * 2**level) ** 3 * c * c for level, c in enumerate(channels))


def _in_shard(job: Job, count: int, size: int) -> int:
    return min(size, count - job.number * size)


def _drawn(job: Job, config: Config) -> int:
    return _in_shard(job, config.sample.count, config.sample.shard_size)


def _cases(job: Job, config: Config, sizes: Sizes) -> int:
    if job.subject not in config.fit:
        return _held_out(config, sizes.test if job.subject == "test" else sizes.validation, sizes)
    return _drawn(job, config) * config.inject.per_skull


def _held_out(config: Config, skulls: int, sizes: Sizes) -> int:
    """At most: whether skulls bring defects of their own is known when they have been read."""
    original = any(source.brings_defects for source in config.ingest.sources.values())
    return skulls * (config.inject.per_held_out_skull + original)


def _predictions(config: Config, sizes: Sizes) -> int:
    seeds = config.train.seeds
    members = seeds + (config.evaluate.ensemble and seeds > 1)
    return members * _held_out(config, sizes.test, sizes)


def _volumes_bytes(config: Config, volumes: float) -> float:
    return volumes * VOLUME_BYTES * prod(config.grid.shape)


def ingest(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Reading and resampling of a shard of scans."""
    size = config.ingest.shard_size
    kinds = sizes.kinds[job.number * size :][:size]
    seconds = sum(SCAN[_source(kind)] + RESAMPLE * prod(config.grid.shape) for kind in kinds)
    stored = _volumes_bytes(config, len(kinds)) + len(kinds) * VAULT_BYTES
    return Cost(START + seconds, stored)


def sheet(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Pictures of a shard of skulls."""
    skulls = _in_shard(job, sizes.skulls, config.ingest.shard_size)
    return Cost(1 + skulls * (0.15 + 8e-7 * prod(config.grid.shape)), skulls * SHEET_BYTES)


def people(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Comparison of every pair of people."""
    return Cost(START + PER_PAIR * comb(sizes.skulls, 2), RECORD_BYTES)


def _field_voxels(config: Config, settings: Any, template: bool = False) -> float:
    spacing = settings.template_spacing_mm if template else settings.field_spacing_mm
    return prod(config.grid.shape) * min(1.0, config.grid.spacing_mm / spacing) ** 3


def _iterations(numbers: Sequence[int]) -> float:
    """Iterations of all levels of a registration, as many of the finest level as take as long."""
    return sum(n / 8 ** (len(numbers) - 1 - level) for level, n in enumerate(numbers))


def template(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Rounds of registrations to the mean."""
    settings: Any = config.fit[job.subject]
    if settings.kind not in KNOWN_FAMILIES:
        return record(job, config, sizes)
    count = settings.template_rounds * min(settings.template_skulls, sizes.training)
    work = _iterations(settings.template_iterations) * _field_voxels(config, settings, template=True)
    return Cost(START_TORCH + count * SYN * work, prod(config.grid.shape))


def _registrations(job: Job, config: Config, sizes: Sizes) -> float:
    """Registrations of a batch; batches share them evenly."""
    settings: Any = config.fit[job.subject]
    count = sizes.training
    if settings.mode != "template":
        count = comb(sizes.training, 2)
        if settings.partners is not None:
            count = min(count, sizes.training * settings.partners)
        if settings.pairs is not None:
            count = min(count, settings.pairs)
    return count / job.stage.count(config, job.subject, sizes.skulls)


def register(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Registrations of a batch, and their fields.

    Fields are stored both ways, float16, in the batch and in the files that an interrupted batch keeps.
    """
    settings: Any = config.fit[job.subject]
    if settings.kind not in KNOWN_FAMILIES:
        return record(job, config, sizes)
    registrations = _registrations(job, config, sizes)
    field = _field_voxels(config, settings)
    each = SYN * _iterations(settings.iterations) * field
    each += 2 * DEMONS * prod(config.grid.shape) * (1 + settings.demons_rounds)
    values = 2 * 3 + (settings.mode == "template")
    return Cost(START_TORCH + registrations * each, 2 * registrations * 2 * values * field)


def fit(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of fitting a family."""
    settings: Any = config.fit[job.subject]
    kind = _kind(settings)
    stored = MODEL_BYTES.get(kind, 1e4)
    match kind:
        case "real":
            return Cost(START, stored)
        case "registration":
            return Cost(2.0, stored)
        case "ssm":
            return Cost(2.0 + sizes.training * 4e-7 * prod(config.grid.shape), stored)
    each = STEP[kind] * _family_work(settings, config)
    if kind == "wgan":
        each *= (1 + settings.critic_steps) / 3
    return Cost(START_TORCH + settings.optimiser.steps * settings.optimiser.batch_size * each, stored)


def _family_work(settings: Any, config: Config) -> float:
    voxels: float = prod(config.grid.shape)
    if settings.kind == "ldm":  # works on the latents of its autoencoder
        below: Any = config.fit[settings.autoencoder]
        return _work(
            voxels / (below.patch * 2 ** (len(below.channels) - 1)) ** 3, settings.patch, settings.channels
        )
    patch, channels = getattr(settings, "patch", PATCH), getattr(settings, "channels", CHANNELS)
    order = -1 if settings.kind == "wgan" else 1  # a generator's channels begin with its coarsest level
    return _work(voxels, patch, channels[::order]) * getattr(settings, "blocks", 1)


def _draw(family: str, config: Config) -> float:
    """Seconds of one draw."""
    settings: Any = config.fit[family]
    voxels = prod(config.grid.shape)
    if settings.kind == "real":
        return 1e-3
    if settings.kind == "ldm":
        turns = settings.sampling_steps * (1 if settings.guidance == 1 else 2)
        return DENOISE * turns * _family_work(settings, config) + DECODE * voxels
    refined = settings.demons_rounds if getattr(settings, "mode", "") == "template" else 0
    return (DRAW[_kind(settings)] + DEMONS * refined) * voxels


def _start(family: str, config: Config) -> float:
    return START if config.fit[family].kind == "real" else START_TORCH


def sample(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Draws of a shard."""
    drawn = _drawn(job, config)
    seconds = _start(job.subject, config) + drawn * _draw(job.subject, config)
    return Cost(seconds, _volumes_bytes(config, drawn))


def screen(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of measuring a shard of samples and of redrawing rejected ones."""
    drawn = _drawn(job, config)
    each = SCREEN * prod(config.grid.shape) + REDRAWN * _draw(job.subject, config)
    return Cost(_start(job.subject, config) + drawn * each, _volumes_bytes(config, drawn))


def limits(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Measures of the training skulls."""
    return Cost(START + sizes.training * SCREEN * prod(config.grid.shape), RECORD_BYTES)


def audit(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Features of real and synthetic skulls."""
    measured = config.sample.count + 2 * sizes.training + sizes.validation + sizes.test
    each = 0.045 + 3.5e-8 * prod(config.grid.shape)
    return Cost(_start(job.subject, config) + measured * each, RECORD_BYTES)


def inject(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Cases of a shard."""
    cases = _cases(job, config, sizes)
    return Cost(START + cases * CUT * prod(config.grid.shape), _volumes_bytes(config, cases))


def _network_bytes(channels: Sequence[int]) -> float:
    return 5e5 + NETWORK_BYTES * sum(c * c for c in channels) * 3


def train(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Training of a reconstruction network."""
    train = config.train
    each = STEP_TRAIN * _work(prod(config.grid.shape), train.patch, train.channels)
    if train.arms[job.subject].geometric != "none":
        each *= GEOMETRIC
    seconds = START_TORCH + train.optimiser.steps * train.optimiser.batch_size * each
    return Cost(seconds, _network_bytes(train.channels))


def _window_work(config: Config) -> float:
    assert config.refine is not None
    voxels = (config.refine.window_mm * config.refine.factor / config.grid.spacing_mm) ** 3
    return _work(voxels, config.refine.patch, config.refine.channels)


def refine(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Reading of the scans, and training of the fine network."""
    assert config.refine is not None
    optimiser = config.refine.optimiser
    loading = sum(SCAN[_source(kind)] for kind in sizes.kinds[: sizes.training + sizes.validation])
    seconds = optimiser.steps * optimiser.batch_size * STEP_REFINE * _window_work(config)
    return Cost(START_TORCH + loading + seconds, _network_bytes(config.refine.channels))


def evaluate(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Predictions of an arm's networks in their scans, and scores."""
    predictions = _predictions(config, sizes)
    each = PREDICT + (REFINE * _window_work(config) if config.refine else 0.0)
    return Cost(START_TORCH + predictions * each, _volumes_bytes(config, predictions))


def report(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Figures of the page, and digests of all files."""
    parts = len(config.fit) + len(config.train.arms)
    volumes = len(config.fit) * config.sample.count * (2 + config.inject.per_skull)
    hashing = 1e-9 * _volumes_bytes(config, volumes) + 1e-4 * volumes
    return Cost(START + parts * (0.8 + 4e-6 * prod(config.grid.shape)) + hashing, REPORT_BYTES)
