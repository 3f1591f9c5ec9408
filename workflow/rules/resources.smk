# Resource requests of cluster jobs, derived from the measured peaks and times in benchmarks/cluster.md;
# ignored by runs on one machine.
import math

MILLIONS = math.prod(CONFIG.grid.shape) / 1e6  # voxels of a volume
SNAKEMAKE_MB = 300  # two Snakemake processes per job, charged to the job
TRAINING_GPUS = CONFIG.processes * int(CONFIG.device != "cpu")
# Each training process has its own threads; with a GPU, most of the CPU load is prefetching.
TRAINING_CPUS = CONFIG.processes * max(CONFIG.threads, CONFIG.loaders)


def memory(fixed, per_million=0.0):
    """Return the MB request: a constant plus a share per million voxels, times the attempt number."""
    megabytes = SNAKEMAKE_MB + fixed + per_million * MILLIONS
    return lambda wildcards, attempt: attempt * math.ceil(megabytes)


def training_time(optimiser):
    """Return minutes: an hour plus four times 2.2 s per million voxels on one core. Retried jobs resume."""
    return math.ceil(60 + 0.15 * optimiser.steps * optimiser.batch_size * MILLIONS)


def drawing_time(volumes):
    """Return minutes: half an hour plus four times 3.1 s per volume of a million voxels on one core."""
    return math.ceil(30 + 0.2 * volumes * MILLIONS)


def network(family):
    """Return whether a family trains a network."""
    return CONFIG.fit[family].trains_network


def drawing_gpus(family, helps=False):
    """Return 1 for drawing or reconstruction by a network if a GPU helps or is configured, else 0."""
    return int(network(family) and (CONFIG.device == "cuda" or (helps and CONFIG.device == "auto")))
