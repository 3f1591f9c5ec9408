"""Gaussian-process interpolation of the vault's surfaces across a defect.

The distances of the outer and the inner surface from a point inside the head are a Gaussian process over
direction: the mean and covariance of the training skulls, plus a smooth individual deviation that is partly
symmetric. Its posterior mean, given the observed bone, is the best linear prediction of the missing surface.

Sources: Rasmussen and Williams 2006, Gaussian processes for machine learning; Lüthi et al. 2018, Gaussian
process morphable models.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from calvaria.skull.vault_map import SIZE, VaultPicture, directions, inside_cone

_MIRROR = (-1, 1, 1)


@dataclass(frozen=True)
class GaussianProcess:
    """Hyper-parameters, chosen on the training and validation skulls; see benchmarks/bridging.md."""

    length_rad: float = 0.5  # length scale of a skull's individual deviation
    amplitude_mm: float = 0.7
    noise_mm: float = 0.3
    surface_correlation: float = 0.5  # between the deviations of outer and inner surface
    mirror_correlation: float = 0.5  # between a deviation and that on the other side
    inlier_tolerance_mm: float = 1.0  # residual up to which an observation within the hole is used
    iterations: int = 3  # of prediction and selection of inliers
    context_radius_rad: float = 0.25  # around the hole, of the observations that are used
    mirrored_context_radius_rad: float = 0.12  # around the hole's mirror image
    dense_radius_rad: float = 0.08  # around the hole; further away every other pixel is used


DEFAULT_PROCESS = GaussianProcess()


def surface_distances(vaults: Sequence[VaultPicture]) -> np.ndarray:
    """Return distances in mm, (n, 2, p) float32, of outer and inner surface in the p directions of the cone.

    Where a skull has no bone, the mean of the skulls with bone there is used, shifted by the skull's mean
    difference from that mean, in which the skull itself is included.
    """
    cone = inside_cone()
    values = np.stack([[vault.outer_mm[cone], vault.inner_mm[cone]] for vault in vaults]).astype(np.float64)
    known = values > 0
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known.any(0), (values * known).sum(0) / count, values[known].mean())
    size = ((values - mean) * known).sum(2, keepdims=True) / np.maximum(known.sum(2, keepdims=True), 1)
    return np.where(known, values, mean + size).astype(np.float32)


def interpolate(
    vault: VaultPicture, hole: np.ndarray, known: np.ndarray, process: GaussianProcess = DEFAULT_PROCESS
) -> VaultPicture:
    """Return the vault with its surfaces continued across a hole.

    The extent of the hole is uncertain but matters: the prediction is best when it starts at the very rim.
    Observations within the hole are therefore used if they agree with the prediction from all others,
    unlike those of a bevelled rim or a bone fragment.

    Args:
        hole: (SIZE, SIZE) bool, where bone may be missing.
        known: (n, 2, p) surfaces of other skulls, as returned by ``surface_distances``.
    """
    cone = inside_cone()
    target = hole[cone]
    if not target.any():
        return vault
    values = np.stack([vault.outer_mm[cone], vault.inner_mm[cone]]).astype(np.float64)
    observed = values[0] > 0
    context = _near(target, process) & observed & ~target
    if not context.any():
        return vault
    prediction = _robust_mean(_Prior.fit(known, process), values, context, observed, target)
    outer, inner = vault.outer_mm.copy(), vault.inner_mm.copy()
    outer[hole & cone], inner[hole & cone] = prediction
    return replace(vault, outer_mm=outer, inner_mm=inner)


@dataclass(frozen=True)
class _Prior:
    """The Gaussian process before observation of a skull; p directions in the cone."""

    process: GaussianProcess
    rays: np.ndarray  # (p, 3) float64 unit vectors
    mean: np.ndarray  # (2, p) float64 mm, of outer and inner surface
    deviations: np.ndarray  # (2 n, 2 p) float64 mm, of the known skulls and their mirror images, scaled

    @classmethod
    def fit(cls, known: np.ndarray, process: GaussianProcess) -> "_Prior":
        """Fit the mean and the covariance of known skulls (n, 2, p) and their mirror images."""
        both = np.concatenate([known, _mirrored(known)]).astype(np.float64)
        mean = both.mean(0)
        deviations = ((both - mean) / np.sqrt(len(both))).reshape(len(both), -1)
        return cls(process, directions()[inside_cone()], mean, deviations)

    def covariance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the covariance (2 i, 2 j) of both surfaces between directions, (p,) bool masks a and b."""
        process, mirrored = self.process, self.rays * _MIRROR
        kernel = _matern(_angles(self.rays[a], self.rays[b]) / process.length_rad)
        kernel += process.mirror_correlation * _matern(
            _angles(mirrored[a], self.rays[b]) / process.length_rad
        )
        between = [[1, process.surface_correlation], [process.surface_correlation, 1]]
        individual = np.kron(between, process.amplitude_mm**2 * kernel)
        left, right = self.deviations[:, np.tile(a, 2)], self.deviations[:, np.tile(b, 2)]
        return np.asarray(individual + left.T @ right)


def _near(target: np.ndarray, process: GaussianProcess) -> np.ndarray:
    """Return the directions, (p,) bool, near a hole (p,) bool or its mirror image.

    Beyond ``dense_radius_rad`` every other pixel is enough, in a pattern that is the same on both sides.
    """
    cone = inside_cone()
    rays = directions()[cone]
    angle = _angles(rays, rays[target]).min(1)
    mirrored_angle = _angles(rays * _MIRROR, rays[target]).min(1)
    first, second = np.indices((SIZE, SIZE))
    sparse = ((np.minimum(first, SIZE - 1 - first) + second) % 2 == 0)[cone]
    within = (angle < process.context_radius_rad) | (mirrored_angle < process.mirrored_context_radius_rad)
    return np.asarray((angle < process.dense_radius_rad) | (sparse & within))


def _robust_mean(
    prior: _Prior, values: np.ndarray, context: np.ndarray, observed: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """Return the posterior mean, (2, k) float64 mm, in the k directions of the hole.

    Args:
        values: (2, p) float64 mm, the observed distances.
        context: (p,) bool, observations outside of the hole; all are used.
        observed: (p,) bool; those within the hole are used if they agree with the prediction.
        target: (p,) bool, the hole.
    """
    process, mean = prior.process, prior.mean
    candidates = context | (target & observed)
    between, towards = prior.covariance(candidates, candidates), prior.covariance(target, candidates)
    between[np.diag_indices_from(between)] += process.noise_mm**2
    residuals = (values - mean)[:, candidates].reshape(-1)
    prediction = np.full_like(values, np.inf)
    for _ in range(process.iterations):
        inliers = np.abs(values - prediction) < process.inlier_tolerance_mm
        used = (context | inliers)[:, candidates].reshape(-1)
        # torch's solver, as it respects the number of threads on which exact results depend
        factor = torch.linalg.cholesky(torch.from_numpy(between[np.ix_(used, used)]))
        weights = torch.cholesky_solve(torch.from_numpy(residuals[used][:, None]), factor).numpy()[:, 0]
        prediction[:, target] = mean[:, target] + (towards[:, used] @ weights).reshape(2, -1)
    return prediction[:, target]


def _mirrored(known: np.ndarray) -> np.ndarray:
    """Return the surfaces (n, 2, p) of the mirror images."""
    cone = inside_cone()
    whole = np.zeros((*known.shape[:2], SIZE, SIZE), known.dtype)
    whole[..., cone] = known
    return whole[..., ::-1, :][..., cone]


def _matern(distance: np.ndarray) -> np.ndarray:
    """Return the Matérn covariance of smoothness 3/2 at distances in length scales."""
    scaled = np.sqrt(3) * distance
    return np.asarray((1 + scaled) * np.exp(-scaled))


def _angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the angles (n, m) in rad between unit vectors (n, 3) and (m, 3)."""
    return np.asarray(np.arccos(np.clip(a @ b.T, -1, 1)))
