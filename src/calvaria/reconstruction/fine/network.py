"""The fine network: predicts a residual to the interpolated vault."""

from functools import partial

import torch

from calvaria import seeds
from calvaria.config import Config
from calvaria.reconstruction.coarse.network import INITIAL_LOGIT, ReconstructionNetwork, without_weights
from calvaria.reconstruction.fine.inputs import CHANNELS
from calvaria.training.device import seeded

VAULT_LOGIT = 6.0  # logit deep in the interpolated vault, before training


def fine_architecture(config: Config) -> ReconstructionNetwork:
    """Return the fine network to load weights into; leave torch's random state unchanged."""
    return without_weights(partial(_build, config))


def new_fine_network(config: Config) -> ReconstructionNetwork:
    """Return the fine network with random initial weights."""
    with seeded(seeds.torch_generator(config.seed, "refine", "weights")):
        return _build(config)


def fine_logits(network: ReconstructionNetwork, inputs: torch.Tensor) -> torch.Tensor:
    """Return the implant's logits, (n, 1, x, y, z): the interpolated vault plus the network's residual."""
    depth, missing = inputs[:, 2:3], inputs[:, 3:4]
    return network(inputs) - INITIAL_LOGIT + VAULT_LOGIT * torch.minimum(depth, 2 * missing - 1)


def _build(config: Config) -> ReconstructionNetwork:
    assert config.refine is not None
    return ReconstructionNetwork(CHANNELS, config.refine.patch, config.refine.channels)
