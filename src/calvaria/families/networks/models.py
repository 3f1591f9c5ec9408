"""Storing, restoring, running and training the networks of families."""

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from calvaria.families.networks.recorded import RecordedNetwork
from calvaria.plugins.family import Context, Draw, Model, Workspace
from calvaria.plugins.section import Optimiser
from calvaria.training.checkpoint import TrainingState
from calvaria.training.device import prepare_device
from calvaria.training.loop import Training, TrainingJob, train
from calvaria.training.weights import restore, weights
from calvaria.utils.lean_imports import without_init

Network = TypeVar("Network", bound=RecordedNetwork)


def recompute_activations(network: torch.nn.Module) -> None:
    """Enable gradient checkpointing: recompute residual blocks' activations in the backward pass."""
    with without_init("monai"):
        from monai.networks.nets.autoencoderkl import AEKLResBlock
        from monai.networks.nets.diffusion_model_unet import DiffusionUNetResnetBlock

    for module in network.modules():
        if isinstance(module, AEKLResBlock | DiffusionUNetResnetBlock):
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)


def model_of(network: RecordedNetwork, tensors: dict[str, np.ndarray], record: dict[str, Any]) -> Model:
    """Return the model of a fitted family, from which ``network_of`` restores its network."""
    parameters = sum(p.numel() for p in network.parameters())
    return Model(
        {**weights(network, "network"), **tensors},
        {"network": network.arguments, "parameters": parameters, **record},
    )


def network_of(kind: type[Network], model: Model, device: torch.device) -> Network:
    """Return the network of a fitted family, in evaluation mode."""
    network: Network = kind(**model.record["network"])
    restore(network, model.tensors, "network", device)
    return network


def full_batches(draws: Sequence[Draw], size: int) -> Iterator[tuple[list[Draw], int]]:
    """Yield batches of exactly ``size`` draws, the last one padded, each with its number of actual draws.

    The size is constant, since the last bits of a network's output may depend on it.
    """
    for first in range(0, len(draws), size):
        batch = list(draws[first : first + size])
        yield batch + [batch[-1]] * (size - len(batch)), len(batch)


def train_family(training: Training, optimiser: Optimiser, context: Context) -> TrainingState:
    """Train a family's network; without a workspace, log and checkpoint are deleted afterwards."""
    device = prepare_device(context.compute)
    if context.workspace is not None:
        return train(training, _training_job(optimiser, context, context.workspace), device)
    with tempfile.TemporaryDirectory() as directory:
        return train(training, _training_job(optimiser, context, Workspace(Path(directory))), device)


def _training_job(optimiser: Optimiser, context: Context, workspace: Workspace) -> TrainingJob:
    return TrainingJob(
        title=f"fit {context.name}",
        identity=workspace.identity,
        log=workspace.directory / "steps.jsonl",
        checkpoint=workspace.checkpoint,
        config=context.compute,
        settings=optimiser,
        tensorboard=workspace.directory / "tensorboard",
    )
