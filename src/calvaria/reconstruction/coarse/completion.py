"""A linear model of complete skulls, which guesses what a defective skull was like before its defect.

The guess is blurred, but it says where bone is missing and roughly how it went; the network beside it learns
the rest in a fraction of the steps.

Sources: Tipping and Bishop 1999, Probabilistic principal component analysis; the trimmed least squares are
those of Rousseeuw 1984.
"""

import torch
from torch.nn import functional

NOISE_VARIANCE = 0.05  # of a block's share of bone around what the components can say
MISSING = 0.35  # a block whose share of bone lies so far below the guess is taken for lost
ROUNDS = 2


class Completion(torch.nn.Module):
    """(n, 1, x, y, z) remaining bone, 0 to 1, to the same of the complete skull, as the model guesses it.

    The model is one of blocks of ``patch`` cubed voxels; the guess is interpolated between their centres.
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
        """Fits it to complete skulls, (n, 1, x, y, z) 0 or 1, and their mirror images."""
        both = torch.cat([skulls, skulls.flip(2)]).float()
        rows = functional.avg_pool3d(both, self.patch).flatten(1).double()
        self.mean.copy_(rows.mean(0))
        rows = rows - rows.mean(0)
        squares, vectors = torch.linalg.eigh(rows @ rows.T / len(rows))
        kept = min(len(self.components), len(rows) - 1)
        found = vectors.flip(1)[:, :kept].T @ rows
        found = found / found.norm(dim=1, keepdim=True).clamp(min=1e-9)
        signs = found[torch.arange(kept), found.abs().argmax(1)].sign()
        # Of few skulls there are fewer components than asked for; the others stay zero and say nothing.
        self.components[:kept].copy_(found * signs[:, None])
        self.variances[:kept].copy_(squares.flip(0)[:kept].clamp(min=1e-6))

    @torch.no_grad()
    def forward(self, bone: torch.Tensor) -> torch.Tensor:
        """The guess: bone that is there although the model knows nothing of it is left to the network."""
        with torch.autocast(bone.device.type, enabled=False):
            seen = functional.avg_pool3d(bone.float(), self.patch).flatten(1)
            weights = torch.ones_like(seen)
            guess = seen
            for _ in range(ROUNDS):
                guess = torch.stack(
                    [self._regression(one, weight) for one, weight in zip(seen, weights, strict=True)]
                )
                weights = (guess - seen < MISSING).float()
            blocks = guess.clamp(0, 1).view(-1, 1, *self.blocks)
            return functional.interpolate(
                blocks, scale_factor=self.patch, mode="trilinear", align_corners=False
            )

    def _regression(self, seen: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The model's most probable skull, given blocks (b,) and how much each counts."""
        weighted = self.components * weight
        system = weighted @ self.components.T + torch.diag(NOISE_VARIANCE / self.variances)
        coefficients = torch.linalg.solve(system, weighted @ (seen - self.mean))
        return self.mean + coefficients @ self.components
