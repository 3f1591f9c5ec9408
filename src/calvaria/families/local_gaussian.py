"""A Gaussian of latents, part of whose correlation fades with distance.

The covariance of a few dozen training latents correlates even the furthest places: its draws are mixtures of
whole heads, which have few degrees of freedom. With a part that is tapered with distance, the covariance has
full rank, and every region of a draw is also a mixture of its own.

Sources: Ghosh et al. 2020, From variational to deterministic autoencoders (ex-post density estimation);
Houtekamer and Mitchell 2001, A sequential ensemble Kalman filter for atmospheric data assimilation (tapered
covariances); Wilms et al. 2017, Multi-resolution multi-object statistical shape models based on the locality
assumption.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class LocalGaussian:
    """The mean of latents, and their covariance, partly tapered.

    The covariance of places at a distance d is that of the latents times
    1 - local + local * exp(-d^2 / (2 length^2)).
    """

    mean: torch.Tensor  # (c, i, j, k)
    spread: torch.Tensor  # (n, c, i, j, k) deviations from the mean over sqrt(n - 1)
    local: float
    tapers: tuple[torch.Tensor, ...]  # roots of the taper along each axis, (i, i), (j, j) and (k, k)

    @classmethod
    def of(cls, latents: torch.Tensor, local: float, length: float) -> "LocalGaussian":
        """Fit to latents (n, c, i, j, k).

        Args:
            local: share of the variance that is tapered, 0 to 1.
            length: of the taper, in positions of the latent.
        """
        mean = latents.mean(0)
        spread = (latents - mean) / math.sqrt(len(latents) - 1)
        return cls(mean, spread, local, tuple(_root(n, length).to(mean) for n in latents.shape[2:]))

    def deviation(self, rng: np.random.Generator) -> torch.Tensor:
        """Draw a deviation from the mean, (c, i, j, k)."""
        # A combination of the deviations with independent weights has exactly their covariance; with weights
        # that vary from place to place, their covariance times that of the weights.
        weights = math.sqrt(1 - self.local) * self._normal(rng, (1, 1, 1))
        if self.local:
            varying = self._normal(rng, tuple(self.spread.shape[2:]))
            with torch.autocast(self.mean.device.type, enabled=False):  # noise is as precise as the latents
                for axis, root in enumerate(self.tapers):
                    varying = torch.tensordot(varying, root, dims=([axis + 1], [0])).movedim(-1, axis + 1)
            weights = weights + math.sqrt(self.local) * varying
        deviation = torch.zeros_like(self.mean)
        for weight, one in zip(weights, self.spread, strict=True):
            deviation.addcmul_(weight, one)
        return deviation

    def _normal(self, rng: np.random.Generator, shape: tuple[int, ...]) -> torch.Tensor:
        """Return standard normal weights, (n, *shape), for the deviations."""
        return torch.from_numpy(rng.standard_normal((len(self.spread), *shape), np.float32)).to(self.mean)


def _root(count: int, length: float) -> torch.Tensor:
    """Return the symmetric root (n, n) of the taper along an axis."""
    place = torch.arange(count, dtype=torch.float64)
    squares, vectors = torch.linalg.eigh((-(((place[:, None] - place) / length) ** 2) / 2).exp())
    return (vectors * squares.clamp(min=0).sqrt()) @ vectors.T
