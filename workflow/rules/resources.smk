# Resource requests of jobs on a cluster, derived from the measured peaks and times of benchmarks/cluster.md; runs on one
# machine ignore them.
import math

MILLIONS = math.prod(CONFIG.grid.shape) / 1e6  # voxels of a volume
FINE = MILLIONS * CONFIG.refine.factor**3 if CONFIG.refine else 0  # of a volume on the fine grid
SNAKEMAKE_MB = 300  # of the two Snakemake processes that run beside every job and are charged to it
TRAINING_GPUS = CONFIG.processes * int(CONFIG.device != "cpu")
# Every process of a training has its own threads; with a GPU the threads that prefetch batches are the busy ones.
TRAINING_CPUS = CONFIG.processes * max(CONFIG.threads, CONFIG.loaders)


def memory(fixed, per_million=0.0, per_million_fine=0.0):
    """MB: a constant plus a share per million voxels of a volume, multiplied by the number of the attempt."""
    megabytes = SNAKEMAKE_MB + fixed + per_million * MILLIONS + per_million_fine * FINE
    return lambda wildcards, attempt: attempt * math.ceil(megabytes)


def training_time(optimiser, millions=MILLIONS):
    """Minutes: four times the time of a million voxels on one core, 2.2 s, plus an hour. A retried job resumes."""
    return math.ceil(60 + 0.15 * optimiser.steps * optimiser.batch_size * millions)


def drawing_time(volumes):
    """Minutes: four times the time of a volume of a million voxels on one core, 3.1 s, plus half an hour."""
    return math.ceil(30 + 0.2 * volumes * MILLIONS)


def network(family):
    """Whether a family trains a network."""
    return CONFIG.fit[family].trains_network


def drawing_gpus(family, helps=False):
    """One GPU for drawing or reconstruction by a network, if it helps or if the config requires one."""
    return int(network(family) and (CONFIG.device == "cuda" or (helps and CONFIG.device == "auto")))
