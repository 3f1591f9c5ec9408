"""Linear completion of a defective skull by principal components of complete skulls.

The estimate is blurred, but it gives the location and approximate shape of the missing bone, so that the
network needs a fraction of the training steps.

Sources: Tipping and Bishop 1999, Probabilistic principal component analysis; the trimmed least squares are
those of Rousseeuw 1984.
"""

import torch
from torch.nn import functional

from calvaria.training.principal_components import principal_components

NOISE_VARIANCE = 0.05  # of a block's bone fraction around the linear model
MISSING_RESIDUAL = 0.35  # of a block's bone fraction below the estimate; larger ones count as missing
ITERATIONS = 2


class Completion(torch.nn.Module):
    """Map remaining bone, (n, 1, x, y, z) from 0 to 1, to the estimated complete skull, same shape and range.

    The model uses blocks of ``patch`` cubed voxels; the estimate is interpolated between their centres.
    """

    mean: torch.Tensor
    components: torch.Tensor
    variances: torch.Tensor

    def __init__(self, shape: tuple[int, int, int], patch: int, modes: int) -> None:
        super().__init__()
        self.patch = patch
        self.blocks = tuple(n // patch for n in shape)
        size = self.blocks[0] * self.blocks[1] * self.blocks[2]
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("components", torch.zeros(modes, size))
        self.register_buffer("variances", torch.ones(modes))

    def start(self, skulls: torch.Tensor) -> None:
        """Fit the components to complete skulls, (n, 1, x, y, z) 0 or 1, and their mirror images."""
        both = torch.cat([skulls, skulls.flip(2)]).float()
        rows = functional.avg_pool3d(both, self.patch).flatten(1).double()
        self.mean.copy_(rows.mean(0))
        kept = min(len(self.components), len(rows) - 1)
        components, variances = principal_components(rows - rows.mean(0), kept)
        # Few skulls yield fewer components than configured; the others stay zero and have no effect.
        self.components[:kept].copy_(components)
        self.variances[:kept].copy_(variances[:kept].clamp(min=1e-6))

    @torch.no_grad()
    def forward(self, bone: torch.Tensor) -> torch.Tensor:
        """Estimate the complete skull; bone that the model cannot represent is left to the network."""
        with torch.autocast(bone.device.type, enabled=False):
            observed = functional.avg_pool3d(bone.float(), self.patch).flatten(1)
            weights = torch.ones_like(observed)
            estimate = observed
            for _ in range(ITERATIONS):
                estimate = torch.stack(
                    [self._regression(row, weight) for row, weight in zip(observed, weights, strict=True)]
                )
                weights = (estimate - observed < MISSING_RESIDUAL).float()
            blocks = estimate.clamp(0, 1).view(-1, 1, *self.blocks)
            return functional.interpolate(
                blocks, scale_factor=self.patch, mode="trilinear", align_corners=False
            )

    def _regression(self, observed: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Return the most probable skull (b,), given observed blocks (b,) and their weights (b,)."""
        weighted = self.components * weight
        system = weighted @ self.components.T + torch.diag(NOISE_VARIANCE / self.variances)
        coefficients = torch.linalg.solve(system, weighted @ (observed - self.mean))
        return self.mean + coefficients @ self.components
