"""Imports that jobs may have, by their needs."""

from enum import Enum

from calvaria.config import Config
from calvaria.pipeline.stage import FAMILY, Job

# Each import takes from 0.3 s to several seconds.
HEAVY = {
    *("ants", "diffusers", "matplotlib", "monai.transforms", "pandas", "scipy.stats", "skimage", "sklearn"),
    *("torch", "torch._dynamo"),
}


class Needs(Enum):
    """Packages that a job needs to import."""

    ARRAYS = "NumPy, SciPy and zarr"
    NETWORK = "torch, and the modules of MONAI of which its network is built"
    SCHEDULERS = "diffusers' schedulers, which import torch's compiler and scipy.stats"
    ANTS = "ANTs, which imports much that registrations do not use"
    FIGURES = "Matplotlib, meshes and tests of significance"


HEAVY_OF = {
    Needs.ARRAYS: set(),
    Needs.NETWORK: {"torch"},
    Needs.SCHEDULERS: {"diffusers", "scipy.stats", "torch", "torch._dynamo"},
    Needs.ANTS: {"ants", "matplotlib", "pandas", "scipy.stats", "sklearn", "torch"},
    Needs.FIGURES: {"matplotlib", "scipy.stats", "skimage"},
}
# Ten per cent above the number loaded with all optional packages.
MODULES = {
    Needs.ARRAYS: 1100,
    Needs.NETWORK: 2900,
    Needs.SCHEDULERS: 3700,
    Needs.ANTS: 4000,
    Needs.FIGURES: 1600,
}
OF_STAGE = {
    "precision": Needs.NETWORK,
    "template": Needs.ANTS,
    "register": Needs.ANTS,
    "train": Needs.NETWORK,
    "evaluate": Needs.NETWORK,
    "report": Needs.FIGURES,
}


def needs(job: Job, config: Config) -> Needs:
    """Return the packages that a job needs to import."""
    if job.stage.key is not FAMILY or job.stage.name in OF_STAGE:
        return OF_STAGE.get(job.stage.name, Needs.ARRAYS)
    family = config.fit[job.subject]
    if family.is_real or (job.stage.name == "audit" and not family.reconstructs):
        return Needs.ARRAYS
    return Needs.SCHEDULERS if family.samples_iteratively else Needs.NETWORK


def too_much(loaded: set[str], job: Job, config: Config) -> str | None:
    """Describe unneeded imports of a job, if any."""
    what = needs(job, config)
    allowed, most = HEAVY_OF[what], MODULES[what]
    if job.stage.name == "audit":
        allowed, most = allowed | {"scipy.stats", "skimage", "sklearn"}, most + 1000
    more = sorted(loaded & HEAVY - allowed)
    if more or len(loaded) > most:
        return f"{job.name} needs {what.value}: imported {', '.join(more)}; {len(loaded)} modules"
    return None
