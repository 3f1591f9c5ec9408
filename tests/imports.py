"""What jobs may import, by what they need."""

from enum import Enum

from calvaria.config import Config
from calvaria.pipeline.stage import FAMILY, Job

# Each takes from 0.3 s to several seconds.
HEAVY = {
    *("ants", "diffusers", "matplotlib", "monai.transforms", "pandas", "scipy.stats", "skimage", "sklearn"),
    *("torch", "torch._dynamo"),
}


class Needs(Enum):
    """What a job needs to import."""

    ARRAYS = "NumPy, SciPy and zarr"
    NETWORK = "torch, and the modules of MONAI of which its network is built"
    TRAINING = "torch's optimisers, which import its compiler"
    SCHEDULERS = "diffusers' schedulers, which import that compiler and scipy.stats, too"
    ANTS = "ANTs, which imports much that registrations do not use"
    FIGURES = "Matplotlib, meshes and tests of significance"


HEAVY_OF = {
    Needs.ARRAYS: set(),
    Needs.NETWORK: {"torch"},
    Needs.TRAINING: {"torch", "torch._dynamo"},
    Needs.SCHEDULERS: {"diffusers", "scipy.stats", "torch", "torch._dynamo"},
    Needs.ANTS: {"ants", "matplotlib", "pandas", "scipy.stats", "sklearn", "torch"},
    Needs.FIGURES: {"matplotlib", "scipy.stats", "skimage"},
}
# A tenth more than are loaded with all optional packages.
MODULES = {
    Needs.ARRAYS: 1400,
    Needs.NETWORK: 2900,
    Needs.TRAINING: 3100,
    Needs.SCHEDULERS: 3700,
    Needs.ANTS: 4000,
    Needs.FIGURES: 1600,
}
OF_STAGE = {
    "precision": Needs.NETWORK,
    "template": Needs.ANTS,
    "register": Needs.ANTS,
    "train": Needs.TRAINING,
    "refine": Needs.TRAINING,
    "evaluate": Needs.NETWORK,
    "report": Needs.FIGURES,
}


def needs(job: Job, config: Config) -> Needs:
    """What a job needs to import."""
    if job.stage.key is not FAMILY or job.stage.name in OF_STAGE:
        return OF_STAGE.get(job.stage.name, Needs.ARRAYS)
    family = config.fit[job.subject]
    if family.is_real or (job.stage.name == "audit" and not family.reconstructs):
        return Needs.ARRAYS
    if family.samples_iteratively:
        return Needs.SCHEDULERS
    return Needs.TRAINING if job.stage.name == "fit" and family.trains_network else Needs.NETWORK


def too_much(loaded: set[str], job: Job, config: Config) -> str | None:
    """What a job has imported beyond what it needs, if anything."""
    what = needs(job, config)
    allowed = HEAVY_OF[what] | ({"scipy.stats"} if job.stage.name == "audit" else set())
    more = sorted(loaded & HEAVY - allowed)
    if more or len(loaded) > MODULES[what]:
        return f"{job.name} needs {what.value}: imported {', '.join(more)}; {len(loaded)} modules"
    return None
