"""The reconstruction network: a residual U-Net from the defective skull to the implant.

Source of the network: Isensee et al. 2019, Automated design of deep learning methods for biomedical image
segmentation, with the residual blocks of He et al. 2016; the blocks are MONAI's.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.blocks.dynunet_block import UnetResBlock, UnetUpBlock
from torch.nn import functional

from calvaria import seeds
from calvaria.config import Config
from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.reconstruction.coarse.completion import Completion
from calvaria.training.device import seeded
from calvaria.training.folding import LAYOUT, fold, unfold

FIRST_LOGIT = -4.0  # an implant fills about one voxel in a hundred
BONE_LOGIT = -20.0  # an implant is never in bone: what is known need not be learned, nor blur its rim
NORM = ("INSTANCE", {"affine": True})


class ReconstructionNetwork(torch.nn.Module):
    """(n, c, x, y, z) inputs to (n, 1, x, y, z) logits of what is asked for.

    Blocks of ``patch`` cubed voxels are folded into channels, so that the finest level costs little.

    Args:
        inputs: c, the channels of the input.
        channels: per level, fine to coarse; each further level halves the resolution.
        heads: how many coarser levels answer, too, while training.
        outside: whether the answer is the implant alone, which is never in bone, the first channel.
        completion: guesses the complete skull from the first channel, for the network to see besides.
    """

    def __init__(
        self,
        inputs: int,
        patch: int,
        channels: Sequence[int],
        heads: int = 0,
        outside: bool = True,
        completion: Completion | None = None,
    ) -> None:
        super().__init__()
        self.patch, self.outside, self.completion = patch, outside, completion
        steps = list(pairwise(channels))
        self.enter = UnetResBlock(3, (inputs + (completion is not None)) * patch**3, channels[0], 3, 1, NORM)
        self.down = torch.nn.ModuleList(UnetResBlock(3, fine, coarse, 3, 2, NORM) for fine, coarse in steps)
        self.up = torch.nn.ModuleList(UnetUpBlock(3, coarse, fine, 3, 1, 2, NORM) for fine, coarse in steps)
        self.heads = torch.nn.ModuleList(_head(channel, patch**3) for channel in channels[: heads + 1])
        self.to(memory_format=LAYOUT)  # type: ignore[call-overload]

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """The answer of the finest level."""
        return self._answer(0, self._levels(seen)[0], seen)

    def answers(self, seen: torch.Tensor) -> list[torch.Tensor]:
        """The answers of all levels that give one, each (n, 1, x, y, z), the finest first."""
        levels = self._levels(seen)
        return [self._answer(number, levels[number], seen) for number in range(len(self.heads))]

    def _levels(self, seen: torch.Tensor) -> list[torch.Tensor]:
        """What each level but the coarsest ends with, the finest first."""
        if self.completion is not None:
            seen = torch.cat([seen, self.completion(seen[:, :1])], dim=1)
        found = [self.enter(fold(seen, self.patch).contiguous(memory_format=LAYOUT))]
        for step in self.down:
            found.append(step(found[-1]))
        for number in reversed(range(len(self.up))):
            found[number] = self.up[number](found[number + 1], found[number])
        return found[:-1]

    def _answer(self, number: int, features: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        answer = unfold(self.heads[number](features).float(), self.patch)
        if number:
            answer = functional.interpolate(answer, seen.shape[2:], mode="trilinear", align_corners=False)
        return torch.where(seen[:, :1] > 0, BONE_LOGIT, answer) if self.outside else answer


def _head(channels: int, outputs: int) -> torch.nn.Conv3d:
    head = torch.nn.Conv3d(channels, outputs, 1)
    assert head.bias is not None
    torch.nn.init.constant_(head.bias, FIRST_LOGIT)
    return head


def new_network(config: Config, seed: int) -> ReconstructionNetwork:
    """An untrained network of the config's size; every arm starts from the same weights."""
    settings = config.train
    completion = None
    if settings.completion:
        completion = Completion(config.grid.shape, settings.patch, settings.completion)
    with seeded(seeds.torch_generator(config.seed, "train", "weights", seed)):
        return ReconstructionNetwork(
            1 + settings.mirror,
            settings.patch,
            settings.channels,
            settings.deep_supervision,
            settings.predicts == "implant",
            completion,
        )


def network_input(labels: torch.Tensor, mirror: bool) -> torch.Tensor:
    """What the network sees of cases (n, x, y, z): the remaining bone, and nothing of how it was lost.

    Heads are nearly symmetric, so with ``mirror`` the other side says what is missing on this one.

    Returns:
        (n, 1 or 2, x, y, z) float32, 1.0 where there is bone; the second channel is mirrored.
    """
    bone = (labels == BONE).float()[:, None]
    return torch.cat([bone, bone.flip(2)], dim=1) if mirror else bone


def network_target(labels: torch.Tensor, predicts: str) -> torch.Tensor:
    """What the network should answer: (n, 1, x, y, z), 1.0 in the implant, or in the complete skull."""
    wanted = labels == IMPLANT if predicts == "implant" else labels > 0
    return wanted.float()[:, None]
