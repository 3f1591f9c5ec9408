"""Denoising network for latent diffusion."""

import torch
from torch.nn import functional

from calvaria.families.networks import GROUPS
from calvaria.families.networks.linear import Gaussian
from calvaria.families.networks.recorded import RecordedNetwork, recorded
from calvaria.training.folding import LAYOUT, fold, unfold
from calvaria.utils.lean_imports import without_init

with without_init("monai"):
    from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet


class Denoiser(RecordedNetwork):
    """A U-Net that learns what the denoising of latents is beyond that of a Gaussian."""

    @recorded
    def __init__(
        self,
        latent_shape: tuple[int, int, int, int],
        modes: int,
        channels: tuple[int, ...],
        patch: int = 1,
        conditions: int = 0,
    ) -> None:
        super().__init__()
        self.patch, self.conditions = patch, conditions
        self.multiple = patch * 2 ** (len(channels) - 1)
        self.gaussian = Gaussian(latent_shape, modes)
        folded = latent_shape[0] * patch**3
        self.network = DiffusionModelUNet(
            spatial_dims=3,
            in_channels=folded + (conditions + 1 if conditions else 0),
            out_channels=folded,
            channels=channels,
            attention_levels=[False] * (len(channels) - 1) + [True],
            num_res_blocks=1,
            num_head_channels=channels[-1] // 2,
            norm_num_groups=GROUPS,
        )
        self.to(memory_format=LAYOUT)  # type: ignore[call-overload]

    def forward(
        self,
        noisy: torch.Tensor,
        times: torch.Tensor,
        condition: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the residual to the prediction that is optimal for Gaussian latents.

        Args:
            noisy: (n, c, i, j, k) normalised latents.
            times: (n,) between 0 and the number of diffusion steps.
            condition: (n, k) standardised measures, NaN where withheld.
        """
        i, j, k = noisy.shape[2:]
        padding = [(-n) % self.multiple for n in (k, j, i)]
        padded = functional.pad(noisy, (0, padding[0], 0, padding[1], 0, padding[2]))
        folded = fold(padded.contiguous(), self.patch)
        if self.conditions:
            assert condition is not None
            channels = torch.cat([condition.nan_to_num(0), condition[:, :1].isnan().float()], dim=1)
            planes = channels[:, :, None, None, None].expand(-1, -1, *folded.shape[2:])
            folded = torch.cat([folded, planes], dim=1)
        result: torch.Tensor = self.network(folded.contiguous(memory_format=LAYOUT), timesteps=times)
        learned = unfold(result.float(), self.patch)[:, :, :i, :j, :k]
        # No residual along the components: a few dozen skulls determine no more than the Gaussian there,
        # and errors shared by many positions would accumulate.
        return learned - self.gaussian.along(learned)
