"""Device of networks, and settings for deterministic results."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.utils.deterministic

from calvaria.errors import CalvariaError
from calvaria.plugins.compute import Compute


def prepare_device(config: Compute) -> torch.device:
    """Return the device of this process; set torch's threads and deterministic algorithms.

    Raises:
        CalvariaError: if the config requires a GPU and there is none.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # makes cuBLAS deterministic
    torch.set_num_threads(config.threads)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports the compiler, 2 s
    # Deterministic mode also fills new tensors with NaN; no operation here reads a tensor before writing it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    cuda = torch.cuda.is_available()
    if config.device == "cuda" and not cuda:
        raise CalvariaError("device: cuda is configured, but torch detects no GPU; use device: auto or cpu")
    if not cuda or config.device == "cpu":
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Seed torch's global generator, used for initial weights, and restore its state afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(generator.initial_seed())
        yield


def fingerprint(*tensors: torch.Tensor) -> str:
    """Return a digest of the training data."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
