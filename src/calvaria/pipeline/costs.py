"""What a job costs: seconds of one core and bytes on disk, from what jobs were measured to cost.

The constants were measured on one core of a 2-core virtual machine without a GPU (x86-64, torch 2.13,
float32), from Snakemake's benchmark files of two finished runs: ``workflow/presets/skullfix.yaml`` on 75 real
skulls (64 x 72 x 64 voxels) and the demo ``config.yaml`` (48 x 56 x 48). How a cost grows between and beyond
them is reasoned: with voxels, with what a network's convolutions multiply, with steps and counts.
``benchmarks/estimate.md`` compares. A GPU was not measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb, prod
from typing import Any

from calvaria.config import HELD_OUT, Config
from calvaria.pipeline.plan import Job

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


@dataclass(frozen=True)
class Sizes:
    """How many skulls go which way, as far as is known before a run."""

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


def seconds(job: Job, config: Config, sizes: Sizes) -> float:
    """Seconds of one core that a job takes."""
    return SECONDS[job.stage](job, config, sizes)


def stored(job: Job, config: Config, sizes: Sizes) -> float:
    """Bytes that a job leaves on disk."""
    voxels = prod(config.grid.shape)
    match job.stage:
        case "ingest":
            return _in_shard(job, sizes.skulls, config.ingest.shard_size) * (
                VOLUME_BYTES * voxels + VAULT_BYTES
            )
        case "sheet":
            return _in_shard(job, sizes.skulls, config.ingest.shard_size) * 25e3
        case "register":  # both ways, float16, in the batch and in the files that an interrupted batch keeps
            settings: Any = config.fit[job.subject]
            values = 2 * 3 + (settings.mode == "template")
            return 2 * _registrations(job, config, sizes) * 2 * values * _field_voxels(config, settings)
        case "template":
            return voxels
        case "fit":
            return MODEL_BYTES.get(config.fit[job.subject].kind, 1e4)
        case "sample" | "screen":
            return _drawn(job, config) * VOLUME_BYTES * voxels
        case "inject":
            return _cases(job, config, sizes) * VOLUME_BYTES * voxels
        case "train":
            return 5e5 + NETWORK_BYTES * sum(c * c for c in config.train.channels) * 3
        case "refine":
            assert config.refine is not None
            return 5e5 + NETWORK_BYTES * sum(c * c for c in config.refine.channels) * 3
        case "evaluate":
            return _predictions(config, sizes) * VOLUME_BYTES * voxels
        case "report":
            return REPORT_BYTES
        case _:
            return 1e5  # a record or a table


def _work(voxels: float, patch: int, channels: Sequence[int]) -> float:
    """What a network's convolutions multiply, from its finest level to its coarsest.

    The finest has the patch folded into its channels; every level has half the places of the one before.
    """
    return sum(voxels / (patch * 2**level) ** 3 * c * c for level, c in enumerate(channels))


def _in_shard(job: Job, count: int, size: int) -> int:
    return min(size, count - job.number * size)


def _drawn(job: Job, config: Config) -> int:
    return _in_shard(job, config.sample.count, config.sample.shard_size)


def _cases(job: Job, config: Config, sizes: Sizes) -> int:
    if job.subject in HELD_OUT:
        return _held_out(config, sizes.test if job.subject == "test" else sizes.validation, sizes)
    return _drawn(job, config) * config.inject.per_skull


def _held_out(config: Config, skulls: int, sizes: Sizes) -> int:
    """At most: whether skulls bring defects of their own is known when they have been read."""
    own = any(source.brings_defects for source in config.ingest.sources.values())
    return skulls * (config.inject.per_held_out_skull + own)


def _predictions(config: Config, sizes: Sizes) -> int:
    seeds = config.train.seeds
    members = seeds + (config.evaluate.ensemble and seeds > 1)
    return members * _held_out(config, sizes.test, sizes)


def _ingest(job: Job, config: Config, sizes: Sizes) -> float:
    size = config.ingest.shard_size
    kinds = sizes.kinds[job.number * size :][:size]
    return START + sum(SCAN.get(kind, SCAN["folder"]) + RESAMPLE * prod(config.grid.shape) for kind in kinds)


def _sheet(job: Job, config: Config, sizes: Sizes) -> float:
    skulls = _in_shard(job, sizes.skulls, config.ingest.shard_size)
    return 1 + skulls * (0.15 + 8e-7 * prod(config.grid.shape))


def _people(job: Job, config: Config, sizes: Sizes) -> float:
    return START + PER_PAIR * comb(sizes.skulls, 2)


def _split(job: Job, config: Config, sizes: Sizes) -> float:
    return START


def _field_voxels(config: Config, settings: Any, template: bool = False) -> float:
    spacing = settings.template_spacing_mm if template else settings.field_spacing_mm
    return prod(config.grid.shape) * min(1.0, config.grid.spacing_mm / spacing) ** 3


def _iterations(numbers: Sequence[int]) -> float:
    """Iterations of all levels of a registration, as many of the finest level as take as long."""
    return sum(n / 8 ** (len(numbers) - 1 - level) for level, n in enumerate(numbers))


def _template(job: Job, config: Config, sizes: Sizes) -> float:
    settings: Any = config.fit[job.subject]
    count = settings.template_rounds * min(settings.template_skulls, sizes.training)
    work = _iterations(settings.template_iterations) * _field_voxels(config, settings, template=True)
    return START_TORCH + count * SYN * work


def _registrations(job: Job, config: Config, sizes: Sizes) -> float:
    """Registrations of a batch; batches share them evenly."""
    settings: Any = config.fit[job.subject]
    count = sizes.training if settings.mode == "template" else min(settings.pairs, comb(sizes.training, 2))
    return count / config.batches(job.subject, sizes.skulls)


def _register(job: Job, config: Config, sizes: Sizes) -> float:
    settings: Any = config.fit[job.subject]
    voxels = prod(config.grid.shape)
    each = SYN * _iterations(settings.iterations) * _field_voxels(config, settings)
    each += 2 * DEMONS * voxels * (1 + settings.demons_rounds)
    return START_TORCH + _registrations(job, config, sizes) * each


def _fit(job: Job, config: Config, sizes: Sizes) -> float:
    settings: Any = config.fit[job.subject]
    voxels = prod(config.grid.shape)
    match settings.kind:
        case "real":
            return START
        case "registration":
            return 2.0
        case "ssm":
            return 2.0 + sizes.training * 4e-7 * voxels
    each = STEP[settings.kind] * _family_work(settings, config)
    if settings.kind == "wgan":
        each *= (1 + settings.critic_steps) / 3
    return START_TORCH + settings.optimiser.steps * settings.optimiser.batch_size * each


def _family_work(settings: Any, config: Config) -> float:
    voxels: float = prod(config.grid.shape)
    if settings.kind == "ldm":  # works on the latents of its autoencoder
        below: Any = config.fit[settings.autoencoder]
        return _work(
            voxels / (below.patch * 2 ** (len(below.channels) - 1)) ** 3, settings.patch, settings.channels
        )
    order = -1 if settings.kind == "wgan" else 1  # a generator's channels begin with its coarsest level
    return _work(voxels, settings.patch, settings.channels[::order]) * getattr(settings, "blocks", 1)


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
    return (DRAW[settings.kind] + DEMONS * refined) * voxels


def _start(family: str, config: Config) -> float:
    return START if config.fit[family].kind == "real" else START_TORCH


def _sample(job: Job, config: Config, sizes: Sizes) -> float:
    return _start(job.subject, config) + _drawn(job, config) * _draw(job.subject, config)


def _screen(job: Job, config: Config, sizes: Sizes) -> float:
    each = SCREEN * prod(config.grid.shape) + REDRAWN * _draw(job.subject, config)
    return _start(job.subject, config) + _drawn(job, config) * each


def _limits(job: Job, config: Config, sizes: Sizes) -> float:
    return START + sizes.training * SCREEN * prod(config.grid.shape)


def _audit(job: Job, config: Config, sizes: Sizes) -> float:
    measured = config.sample.count + 2 * sizes.training + sizes.validation + sizes.test
    return _start(job.subject, config) + measured * (0.045 + 3.5e-8 * prod(config.grid.shape))


def _inject(job: Job, config: Config, sizes: Sizes) -> float:
    return START + _cases(job, config, sizes) * CUT * prod(config.grid.shape)


def _train(job: Job, config: Config, sizes: Sizes) -> float:
    train = config.train
    each = STEP_TRAIN * _work(prod(config.grid.shape), train.patch, train.channels)
    if train.arms[job.subject].geometric != "none":
        each *= GEOMETRIC
    return START_TORCH + train.optimiser.steps * train.optimiser.batch_size * each


def _window_work(config: Config) -> float:
    assert config.refine is not None
    voxels = (config.refine.window_mm * config.refine.factor / config.grid.spacing_mm) ** 3
    return _work(voxels, config.refine.patch, config.refine.channels)


def _refine(job: Job, config: Config, sizes: Sizes) -> float:
    assert config.refine is not None
    optimiser = config.refine.optimiser
    loading = sum(SCAN.get(kind, SCAN["folder"]) for kind in sizes.kinds[: sizes.training + sizes.validation])
    return START_TORCH + loading + optimiser.steps * optimiser.batch_size * STEP_REFINE * _window_work(config)


def _evaluate(job: Job, config: Config, sizes: Sizes) -> float:
    each = PREDICT + (REFINE * _window_work(config) if config.refine else 0.0)
    return START_TORCH + _predictions(config, sizes) * each


def _report(job: Job, config: Config, sizes: Sizes) -> float:
    parts = len(config.fit) + len(config.train.arms)
    volumes = len(config.fit) * config.sample.count * (2 + config.inject.per_skull)
    hashing = 1e-9 * VOLUME_BYTES * volumes * prod(config.grid.shape) + 1e-4 * volumes
    return START + parts * (0.8 + 4e-6 * prod(config.grid.shape)) + hashing


SECONDS: dict[str, Callable[[Job, Config, Sizes], float]] = {
    "ingest": _ingest,
    "sheet": _sheet,
    "people": _people,
    "split": _split,
    "template": _template,
    "register": _register,
    "fit": _fit,
    "sample": _sample,
    "limits": _limits,
    "screen": _screen,
    "audit": _audit,
    "inject": _inject,
    "train": _train,
    "refine": _refine,
    "evaluate": _evaluate,
    "report": _report,
}
