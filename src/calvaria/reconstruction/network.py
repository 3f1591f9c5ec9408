"""The reconstruction network: a residual U-Net from the defective skull to the implant.

Source of the network: Kerfoot et al. 2018, Left-ventricle quantification using residual U-Net (MONAI's UNet).
"""

import torch
from monai.networks.nets import UNet

from calvaria.config import Train
from calvaria.families.networks import LAYOUT, fold, unfold
from calvaria.grid import BONE, IMPLANT


class ReconstructionNetwork(torch.nn.Module):
    """(n, 1, x, y, z) defective skulls, 1.0 where there is bone, to (n, 1, x, y, z) implant logits."""

    def __init__(self, settings: Train) -> None:
        super().__init__()
        self.patch, self.mirror = settings.patch, settings.mirror
        self.unet = UNet(
            spatial_dims=3,
            in_channels=(1 + settings.mirror) * settings.patch**3,
            out_channels=settings.patch**3,
            channels=settings.channels,
            strides=[2] * (len(settings.channels) - 1),
            num_res_units=2,
            norm="instance",
        ).to(memory_format=LAYOUT)

    def forward(self, defective: torch.Tensor) -> torch.Tensor:
        if self.mirror:  # heads are nearly symmetric: the other side says what is missing on this one
            defective = torch.cat([defective, defective.flip(2)], dim=1)
        return unfold(self.unet(fold(defective, self.patch)), self.patch)


def network_input(labels: torch.Tensor) -> torch.Tensor:
    """What the network sees of cases (n, x, y, z): the remaining bone, and nothing of how it was lost."""
    return (labels == BONE).float()[:, None]


def network_target(labels: torch.Tensor) -> torch.Tensor:
    """What the network should answer: (n, 1, x, y, z), 1.0 in the implant."""
    return (labels == IMPLANT).float()[:, None]
