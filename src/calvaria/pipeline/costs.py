"""Cost of a job: seconds of one core and bytes on disk, scaled from measurements.

The constants were measured on one core of a 2-core virtual machine without a GPU (x86-64, torch 2.13,
float32), from Snakemake's benchmark files of two finished runs: ``workflow/presets/skullfix.yaml`` on 75 real
skulls (64 x 72 x 64 voxels) and the demo ``config.yaml`` (48 x 56 x 48). Costs are assumed to scale with
the number of voxels, the multiplications of a network's convolutions, steps and counts.
``benchmarks/estimate.md`` compares estimates with measured times. GPUs were not measured. Families and
sources state their own costs (`calvaria.plugins.costs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, prod
from typing import TYPE_CHECKING

from calvaria.plugins.costs import START_S, START_TORCH_S, FamilyCost, Load, convolution_work

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.pipeline.stage import Job
    from calvaria.plugins.source import Source

PER_PAIR = 0.0065  # per pair of people compared
RESAMPLE = 1.7e-7  # per voxel of the grid
# Per skull, training step and unit of network work; factor for geometric augmentation.
STEP_TRAIN, GEOMETRIC = 5.2e-9, 1.2
MEMORY = 32  # see ``convolution_work``: 8, 16 and 32 channels took 0.15, 0.30 and 0.85 s a step
SCREEN, REDRAWN = 1.8e-7, 0.05  # per voxel of a skull; fraction of samples that are redrawn
CLASSIFIER_S, LOOK = 2.0, 3.8e-8  # import and training; per voxel of a skull
CUT = 1.9e-8  # per voxel of a case
# Per prediction; the same with a prior; and with it per second of reading a scan beyond the first, as large
# scans take longer to read and to cut.
PREDICT, DRAW, DRAW_LARGE = 0.3, 0.6, 0.5
VAULT = 0.2  # per skull of a prior
VOLUME_BYTES = 0.025  # per voxel of a stored volume, compressed
VAULT_BYTES, SURFACE_BYTES, REPORT_BYTES = 80e3, 26e3, 10e6  # of a skull's vault map and surfaces
NETWORK_BYTES = 300  # per squared number of channels: weights of a reconstruction network and their log

RECORD_BYTES, SHEET_BYTES = 1e5, 25e3  # of a record or a table; per skull of a contact sheet


@dataclass(frozen=True)
class Cost:
    """Cost of a job."""

    seconds: float  # of one core
    bytes: float  # of its outputs on disk


@dataclass(frozen=True)
class Sizes:
    """Numbers of skulls as known before a run."""

    sources: tuple[Source, ...]  # one per skull
    training: int
    validation: int
    test: int

    @property
    def skulls(self) -> int:
        return len(self.sources)


def sizes(config: Config, sources: Sequence[Source]) -> Sizes:
    """Return the sizes of a run on skulls of these sources, assuming one per person and no rejections."""
    test = max(1, round(config.split.test_share * len(sources)))
    validation = max(1, round(config.split.validation * len(sources)))
    return Sizes(tuple(sources), max(1, len(sources) - test - validation), validation, test)


def unknown(config: Config, sizes: Sizes) -> list[str]:
    """Return one line for each family or source that does not state its costs."""
    fits, sources = config.fit.items(), config.ingest.sources.items()
    unmeasured = [
        *((f"fit.{name}", it.kind) for name, it in fits if not _family(name, config, sizes).is_measured),
        *((f"ingest.sources.{name}", it.kind) for name, it in sources if not it.estimated_cost().is_measured),
    ]
    return [
        f"unknown cost: {key} (kind {kind} has no estimated_cost), counted as that of a typical kind"
        for key, kind in unmeasured
    ]


def _family(name: str, config: Config, sizes: Sizes) -> FamilyCost:
    return config.fit[name].estimated_cost(Load(config.grid.voxels(), sizes.training, config.fit))


def record(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of a job that only writes a record or a table, or whose cost is unknown."""
    return Cost(START_S, RECORD_BYTES)


def _in_shard(job: Job, count: int, size: int) -> int:
    return min(size, count - job.number * size)


def _drawn(job: Job, config: Config) -> int:
    return _in_shard(job, config.sample.count, config.sample.shard_size)


def _cases(job: Job, config: Config, sizes: Sizes) -> int:
    if job.subject not in config.fit:
        return _held_out(config, sizes.test if job.subject == "test" else sizes.validation, sizes)
    return _drawn(job, config) * config.inject.per_skull


def _held_out(config: Config, skulls: int, sizes: Sizes) -> int:
    """Return the maximum number of cases; which skulls have their own defect is unknown before ingest."""
    original = any(source.brings_defects for source in config.ingest.sources.values())
    return skulls * (config.inject.per_held_out_skull + original)


def _predictions(config: Config, sizes: Sizes) -> int:
    seeds = config.train.seeds
    members = seeds + (config.evaluate.ensemble and seeds > 1)
    return members * _held_out(config, sizes.test, sizes)


def _volumes_bytes(config: Config, volumes: float) -> float:
    return volumes * VOLUME_BYTES * prod(config.grid.shape)


def ingest(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of reading and resampling a shard of scans."""
    size = config.ingest.shard_size
    read = sizes.sources[job.number * size :][:size]
    seconds = sum(one.estimated_cost().scan_s + RESAMPLE * prod(config.grid.shape) for one in read)
    stored = _volumes_bytes(config, len(read)) + len(read) * VAULT_BYTES
    return Cost(START_S + seconds, stored)


def sheet(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of rendering the contact sheet of a shard of skulls."""
    skulls = _in_shard(job, sizes.skulls, config.ingest.shard_size)
    return Cost(1 + skulls * (0.15 + 8e-7 * prod(config.grid.shape)), skulls * SHEET_BYTES)


def people(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of comparing every pair of people."""
    return Cost(START_S + PER_PAIR * comb(sizes.skulls, 2), RECORD_BYTES)


def template(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of the rounds of registrations to the mean."""
    cost = _family(job.subject, config, sizes)
    if not cost.is_measured:
        return record(job, config, sizes)
    return Cost(cost.template_s, prod(config.grid.shape))


def register(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of a batch of registrations and their fields; batches are assumed equal in size."""
    cost = _family(job.subject, config, sizes)
    if not cost.is_measured:
        return record(job, config, sizes)
    registrations = cost.registrations / job.stage.count(config, job.subject, sizes.skulls)
    seconds = START_TORCH_S + registrations * cost.registration_s
    return Cost(seconds, registrations * cost.registration_bytes)


def fit(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of fitting a family."""
    cost = _family(job.subject, config, sizes)
    return Cost(cost.fit_s, cost.model_bytes)


def sample(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of drawing a shard of samples."""
    drawn, cost = _drawn(job, config), _family(job.subject, config, sizes)
    return Cost(cost.start_s + drawn * cost.draw_s, _volumes_bytes(config, drawn))


def screen(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of measuring a shard of samples and of redrawing rejected ones."""
    drawn, cost = _drawn(job, config), _family(job.subject, config, sizes)
    each = SCREEN * prod(config.grid.shape) + REDRAWN * cost.draw_s
    return Cost(cost.start_s + drawn * each, _volumes_bytes(config, drawn))


def limits(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of measuring the training skulls."""
    return Cost(START_S + sizes.training * SCREEN * prod(config.grid.shape), RECORD_BYTES)


def audit(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of computing features and looks of real and synthetic skulls.

    The looks, and the classifier of patches, were measured later than all else, on a faster machine.
    """
    held_out = sizes.validation + sizes.test
    measured = config.sample.count + 2 * sizes.training + held_out
    seconds = measured * (0.045 + 3.5e-8 * prod(config.grid.shape))
    looks = config.sample.count + held_out + min(sizes.training, held_out)
    seconds += CLASSIFIER_S + looks * (0.012 + LOOK * prod(config.grid.shape))
    return Cost(_family(job.subject, config, sizes).start_s + seconds, RECORD_BYTES)


def inject(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of cutting the cases of a shard."""
    cases = _cases(job, config, sizes)
    return Cost(START_S + cases * CUT * prod(config.grid.shape), _volumes_bytes(config, cases))


def _network_bytes(channels: Sequence[int]) -> float:
    return 5e5 + NETWORK_BYTES * sum(c * c for c in channels) * 3


def train(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of training a reconstruction network."""
    train = config.train
    each = STEP_TRAIN * convolution_work(prod(config.grid.shape), train.patch, train.channels, MEMORY)
    if train.arms[job.subject].geometric != "none":
        each *= GEOMETRIC
    seconds = START_TORCH_S + train.optimiser.steps * train.optimiser.batch_size * each
    return Cost(seconds + VAULT * train.prior, _network_bytes(train.channels) + SURFACE_BYTES * train.prior)


def evaluate(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of an arm's predictions on the scans' grids and of their scores."""
    predictions = _predictions(config, sizes)
    scan_s = sum(source.estimated_cost().scan_s for source in sizes.sources) / len(sizes.sources)
    each = DRAW + DRAW_LARGE * max(0.0, scan_s - 1) if config.train.prior else PREDICT
    return Cost(START_TORCH_S + predictions * each, _volumes_bytes(config, predictions))


def report(job: Job, config: Config, sizes: Sizes) -> Cost:
    """Return the cost of the report's figures and of the digests of all files."""
    parts = len(config.fit) + len(config.train.arms)
    volumes = len(config.fit) * config.sample.count * (2 + config.inject.per_skull)
    hashing = 1e-9 * _volumes_bytes(config, volumes) + 1e-4 * volumes
    return Cost(START_S + parts * (0.8 + 4e-6 * prod(config.grid.shape)) + hashing, REPORT_BYTES)
