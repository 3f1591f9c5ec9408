"""The reconstruction network: a residual U-Net from the defective skull to the implant.

Source of the network: Isensee et al. 2019, Automated design of deep learning methods for biomedical image
segmentation, with the residual blocks of He et al. 2016; the blocks are MONAI's.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch.nn import functional

from calvaria import seeds
from calvaria.config import Config
from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.reconstruction.coarse.completion import Completion
from calvaria.training.device import seeded
from calvaria.training.folding import LAYOUT, fold, unfold
from calvaria.utils.lean_imports import without_init

with without_init("monai"):
    from monai.networks.blocks.dynunet_block import UnetResBlock, UnetUpBlock

INITIAL_LOGIT = -4.0  # bias of the output; an implant fills about one voxel in a hundred
BONE_LOGIT = -20.0  # of the implant in bone, where there is none; learning it there would blur the rim
NORM = ("INSTANCE", {"affine": True})


class ReconstructionNetwork(torch.nn.Module):
    """Map inputs (n, c, x, y, z) to logits of the target, (n, 1, x, y, z).

    Blocks of ``patch`` cubed voxels are folded into channels, so that the finest level costs little.

    Args:
        inputs: c, the number of input channels; the first one is the remaining bone.
        channels: per level, fine to coarse; each further level halves the resolution.
        heads: number of coarser levels with their own output (deep supervision).
        exclude_bone: whether the logits in bone are fixed at ``BONE_LOGIT``, as for an implant.
        completion: estimates the complete skull from the first channel, as a further input channel.
    """

    def __init__(
        self,
        inputs: int,
        patch: int,
        channels: Sequence[int],
        heads: int = 0,
        exclude_bone: bool = True,
        completion: Completion | None = None,
    ) -> None:
        super().__init__()
        self.patch, self.exclude_bone, self.completion = patch, exclude_bone, completion
        steps = list(pairwise(channels))
        self.enter = UnetResBlock(3, (inputs + (completion is not None)) * patch**3, channels[0], 3, 1, NORM)
        self.down = torch.nn.ModuleList(UnetResBlock(3, fine, coarse, 3, 2, NORM) for fine, coarse in steps)
        self.up = torch.nn.ModuleList(UnetUpBlock(3, coarse, fine, 3, 1, 2, NORM) for fine, coarse in steps)
        self.heads = torch.nn.ModuleList(_head(channel, patch**3) for channel in channels[: heads + 1])
        self.to(memory_format=LAYOUT)  # type: ignore[call-overload]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits of the finest level."""
        return self._logits(0, self._features(inputs)[0], inputs)

    def level_logits(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits of all levels that have a head, each (n, 1, x, y, z), the finest first."""
        levels = self._features(inputs)
        return [self._logits(level, levels[level], inputs) for level in range(len(self.heads))]

    def _features(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Return the decoder's features of every level but the coarsest, the finest first."""
        if self.completion is not None:
            inputs = torch.cat([inputs, self.completion(inputs[:, :1])], dim=1)
        features = [self.enter(fold(inputs, self.patch).contiguous(memory_format=LAYOUT))]
        for step in self.down:
            features.append(step(features[-1]))
        for level in reversed(range(len(self.up))):
            features[level] = self.up[level](features[level + 1], features[level])
        return features[:-1]

    def _logits(self, level: int, features: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        logits = unfold(self.heads[level](features).float(), self.patch)
        if level:
            logits = functional.interpolate(logits, inputs.shape[2:], mode="trilinear", align_corners=False)
        return torch.where(inputs[:, :1] > 0, BONE_LOGIT, logits) if self.exclude_bone else logits


def _head(channels: int, outputs: int) -> torch.nn.Conv3d:
    head = torch.nn.Conv3d(channels, outputs, 1)
    assert head.bias is not None
    torch.nn.init.constant_(head.bias, INITIAL_LOGIT)
    return head


def coarse_architecture(config: Config) -> ReconstructionNetwork:
    """Return the coarse network to load weights into; leave torch's random state unchanged."""
    return without_weights(partial(_build, config))


def without_weights(build: Callable[[], ReconstructionNetwork]) -> ReconstructionNetwork:
    """Build a network to load weights into, and leave torch's random state unchanged.

    The random initial weights are never used. Building on the device "meta" would avoid them, but imports
    SymPy, which takes longer.
    """
    with seeded(torch.Generator()):
        return build()


def new_network(config: Config, seed: int) -> ReconstructionNetwork:
    """Return a coarse network with random initial weights, the same for every arm."""
    with seeded(seeds.torch_generator(config.seed, "train", "weights", seed)):
        return _build(config)


def _build(config: Config) -> ReconstructionNetwork:
    settings = config.train
    completion = None
    if settings.completion:
        completion = Completion(config.grid.shape, settings.patch, settings.completion)
    return ReconstructionNetwork(
        1 + settings.mirror,
        settings.patch,
        settings.channels,
        settings.deep_supervision,
        settings.predicts == "implant",
        completion,
    )


def network_input(labels: torch.Tensor, mirror: bool) -> torch.Tensor:
    """Return the network input of cases (n, x, y, z): the remaining bone alone.

    Heads are nearly symmetric, so with ``mirror`` the bone of the other side is added as a channel.

    Returns:
        (n, 1 or 2, x, y, z) float32, 1.0 where there is bone; the second channel is mirrored.
    """
    bone = (labels == BONE).float()[:, None]
    return torch.cat([bone, bone.flip(2)], dim=1) if mirror else bone


def mean_probability(networks: Iterable[torch.nn.Module], inputs: torch.Tensor, flip: bool) -> torch.Tensor:
    """Return the mean probability (n, 1, x, y, z) of networks for inputs (n, c, x, y, z).

    Args:
        flip: whether the mean is also over the left-right flipped inputs.
    """
    networks = list(networks)
    outputs = [torch.sigmoid(network(inputs)) for network in networks]
    if flip:
        outputs += [torch.sigmoid(network(inputs.flip(2))).flip(2) for network in networks]
    return torch.stack(outputs).mean(0)


def network_target(labels: torch.Tensor, predicts: str) -> torch.Tensor:
    """Return the training target (n, 1, x, y, z) float32, 1.0 in the implant, or in the complete skull."""
    target = labels == IMPLANT if predicts == "implant" else labels > 0
    return target.float()[:, None]
