"""The reconstruction network: a residual U-Net from the defective skull to the implant.

Source of the network: Isensee et al. 2019, Automated design of deep learning methods for biomedical image
segmentation, with the residual blocks of He et al. 2016 (MONAI's DynUNet).
"""

from collections.abc import Sequence

import torch
from monai.networks.nets import DynUNet

from calvaria.families.networks import LAYOUT, fold, unfold
from calvaria.grid import BONE, IMPLANT

FIRST_LOGIT = -4.0  # an implant fills about one voxel in a hundred


class ReconstructionNetwork(torch.nn.Module):
    """(n, c, x, y, z) inputs to (n, 1, x, y, z) logits of what is asked for.

    Blocks of ``patch`` cubed voxels are folded into channels, so that the finest level costs little.

    Args:
        inputs: c, the channels of the input.
        channels: per level, fine to coarse; each further level halves the resolution.
        heads: how many coarser levels answer, too, while training.
    """

    def __init__(self, inputs: int, patch: int, channels: Sequence[int], heads: int = 0) -> None:
        super().__init__()
        self.patch = patch
        levels = len(channels)
        self.unet = DynUNet(
            spatial_dims=3,
            in_channels=inputs * patch**3,
            out_channels=patch**3,
            kernel_size=[3] * levels,
            strides=[1] + [2] * (levels - 1),
            upsample_kernel_size=[2] * (levels - 1),
            filters=list(channels),
            norm_name=("INSTANCE", {"affine": True}),
            deep_supervision=heads > 0,
            deep_supr_num=max(heads, 1),
            res_block=True,
        )
        for head in (self.unet.output_block, *getattr(self.unet, "deep_supervision_heads", ())):
            torch.nn.init.constant_(head.conv.conv.bias, FIRST_LOGIT)
        self.unet.to(memory_format=LAYOUT)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """The answer of the finest level."""
        return self.answers(seen)[0]

    def answers(self, seen: torch.Tensor) -> list[torch.Tensor]:
        """The answers of all levels that give one, each (n, 1, x, y, z), the finest first."""
        found = self.unet(fold(seen, self.patch).contiguous(memory_format=LAYOUT))
        levels = found.unbind(1) if found.dim() == 6 else [found]
        return [unfold(one.float(), self.patch) for one in levels]


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
