"""Every random choice of a run takes its generator from here.

A generator is keyed by what it is for (stage, family, index, ...), never by the shard, batch, job or
process that happens to need it; so a sample stays the same however the work is cut into jobs.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def _word(key: str | int) -> int:
    """A key as an unsigned integer; text goes through SHA-256, which is the same everywhere."""
    if isinstance(key, str):
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    if key < 0:
        raise ValueError(f"seed keys must not be negative, got {key}")
    return key


def sequence(root: int, *keys: str | int) -> np.random.SeedSequence:
    """The seed sequence of one random choice: ``SeedSequence([root, *keys])``."""
    return np.random.SeedSequence([root, *(_word(key) for key in keys)])


def generator(root: int, *keys: str | int) -> np.random.Generator:
    """A NumPy generator (PCG64) for ``keys`` under the run's root seed."""
    return np.random.Generator(np.random.PCG64(sequence(root, *keys)))


def torch_generator(root: int, *keys: str | int) -> "torch.Generator":
    """A CPU torch generator for ``keys``: noise is drawn on the CPU so that every device sees the same."""
    import torch

    state = sequence(root, *keys).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)
