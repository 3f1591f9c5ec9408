"""What jobs may import, by what they need."""

from enum import Enum

# Each takes from 0.3 s to several seconds.
HEAVY = {
    *("ants", "diffusers", "matplotlib", "monai", "pandas", "scipy.stats", "skimage", "sklearn"),
    *("torch", "torch._dynamo"),
}


class Needs(Enum):
    """What a job needs to import."""

    NOTHING = "arrays"
    TORCH = "torch, and the modules of MONAI of which its networks are built"
    TRAINING = "torch's optimisers, which import its compiler"
    SCHEDULERS = "diffusers' schedulers, which import its compiler and scipy.stats, too"


MODULES = {Needs.NOTHING: 1400, Needs.TORCH: 2800, Needs.TRAINING: 3300, Needs.SCHEDULERS: 3900}
