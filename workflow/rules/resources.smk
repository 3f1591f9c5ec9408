# What a job asks a cluster for. Derived from measured peaks and times, which benchmarks/cluster.md has; a run on one
# machine takes no notice of it.
import math

MILLIONS = math.prod(CONFIG.grid.shape) / 1e6  # voxels of a volume
FINE = MILLIONS * CONFIG.refine.factor**3 if CONFIG.refine else 0  # of a volume on the fine grid
SNAKEMAKE_MB = 300  # two of its processes run beside every job and count for it
TRAINING_GPUS = CONFIG.processes * int(CONFIG.device != "cpu")
# Every process of a training has its own threads, and with a GPU those that prepare its batches are the busy ones.
TRAINING_CPUS = CONFIG.processes * max(CONFIG.threads, CONFIG.loaders)


def memory(fixed, per_million=0.0, per_million_fine=0.0):
    """MB: some for the libraries, some for every million voxels of a volume; at every attempt as much again."""
    asked = SNAKEMAKE_MB + fixed + per_million * MILLIONS + per_million_fine * FINE
    return lambda wildcards, attempt: attempt * math.ceil(asked)


def training_time(optimiser, millions=MILLIONS):
    """Minutes: four times what a million voxels take on one core, 2.2 s, and an hour. A job goes on where it was."""
    return math.ceil(60 + 0.15 * optimiser.steps * optimiser.batch_size * millions)


def drawing_time(volumes):
    """Minutes: four times what a volume of a million voxels takes on one core, 3.1 s, and half an hour."""
    return math.ceil(30 + 0.2 * volumes * MILLIONS)


def network(family):
    """Whether a family trains a network; its section says how, then."""
    return CONFIG.fit[family].trains_network


def drawing_gpus(family, helps=False):
    """One GPU for what a network draws or rebuilds if that helps, or if the config wants no network without one."""
    return int(network(family) and (CONFIG.device == "cuda" or (helps and CONFIG.device == "auto")))
