"""Vector quantisation."""

import torch
from torch.nn import functional

CHUNK = 4096  # vectors compared with all codes at a time, so that the distances stay in the cache
DECAY = 0.99  # of the moving averages, per batch
SMOOTHING = 1e-5  # added to the use of every code, so that unused codes stay finite


class Quantiser(torch.nn.Module):
    """A codebook learned by moving averages of the vectors assigned to each code.

    Source: van den Oord et al. 2017, Neural discrete representation learning, appendix A.1.
    """

    codes: torch.Tensor  # (count, width)
    uses: torch.Tensor  # (count,) moving average of the number of vectors assigned to each code
    sums: torch.Tensor  # (count, width) moving average of their sum

    def __init__(self, count: int, width: int, commitment: float) -> None:
        super().__init__()
        self.commitment = commitment
        self.register_buffer("codes", torch.zeros(count, width))
        self.register_buffer("uses", torch.zeros(count))
        self.register_buffer("sums", torch.zeros(count, width))

    def forward(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Replace every vector of latents (n, width, i, j, k) by the nearest code; update codes in training.

        Returns:
            The quantised latents, float32, whose gradient passes on to the input; the commitment loss; the
            (n, i, j, k) int64 indices of the codes.
        """
        latents = latents.float()
        channels_last = latents.movedim(1, -1)
        vectors = channels_last.reshape(-1, latents.shape[1])
        indices = self.nearest(vectors)
        quantised = self.codes[indices].view(channels_last.shape).movedim(-1, 1)
        if self.training:
            self._update(vectors.detach(), indices)
        loss = self.commitment * functional.mse_loss(latents, quantised)
        return latents + (quantised - latents).detach(), loss, indices.view(channels_last.shape[:-1])

    def nearest(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the (n,) int64 index of the nearest code of each vector, (n, width); the first of equals."""
        with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
            half = self.codes.square().sum(1) / 2
            chunks = [
                torch.addmm(half, chunk, self.codes.T, alpha=-1).argmin(1) for chunk in vectors.split(CHUNK)
            ]
        return torch.cat(chunks)

    @torch.no_grad()
    def _update(self, vectors: torch.Tensor, indices: torch.Tensor) -> None:
        uses = torch.bincount(indices, minlength=len(self.codes)).to(self.uses)
        sums = torch.zeros_like(self.sums).index_add_(0, indices, vectors)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(uses)
            torch.distributed.all_reduce(sums)
        self.uses.lerp_(uses, 1 - DECAY)
        self.sums.lerp_(sums, 1 - DECAY)
        total = self.uses.sum()
        smoothed = (self.uses + SMOOTHING) / (total + len(self.uses) * SMOOTHING) * total
        self.codes.copy_(self.sums / smoothed[:, None])
