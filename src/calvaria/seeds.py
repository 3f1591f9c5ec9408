"""Random generators of a run.

A generator is keyed by its purpose (stage, family, index, ...), never by the shard, batch, job or process
that uses it, so results do not depend on how the work is divided into jobs.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def _word(key: str | int) -> int:
    """Return a key as an unsigned integer; text is hashed with SHA-256, equal on every machine."""
    if isinstance(key, str):
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    if key < 0:
        raise ValueError(f"seed keys must not be negative, got {key}")
    return key


def sequence(root: int, *keys: str | int) -> np.random.SeedSequence:
    """Return the seed sequence ``SeedSequence([root, *keys])``."""
    return np.random.SeedSequence([root, *(_word(key) for key in keys)])


def generator(root: int, *keys: str | int) -> np.random.Generator:
    """Return a NumPy generator (PCG64) for ``keys`` under the run's root seed."""
    return np.random.Generator(np.random.PCG64(sequence(root, *keys)))


def torch_generator(root: int, *keys: str | int) -> "torch.Generator":
    """Return a torch generator for ``keys``, on the CPU so that noise is equal on every device."""
    import torch

    state = sequence(root, *keys).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)
