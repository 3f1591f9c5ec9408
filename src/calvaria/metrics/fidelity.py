"""Fidelity and diversity of a set of samples compared with a set of real ones, from coordinates of both.

Sources: Kynkäänniemi et al. 2019 (improved precision and recall); Naeem et al. 2020 (density and coverage);
Lopez-Paz and Oquab 2017 (two-sample test by the nearest neighbour); Meehan et al. 2020 (copying, by the
distance of samples to the training set, compared with held-out data).
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu


@dataclass(frozen=True)
class Fidelity:
    """Scores between 0 and 1, except for the density, which may exceed 1."""

    precision: float  # share of samples within the neighbourhood of any real one
    recall: float  # share of real ones within the neighbourhood of any sample
    density: float  # neighbourhoods of real ones per sample, relative to the number expected of real ones
    coverage: float  # share of real ones with a sample in their neighbourhood
    neighbour_accuracy: float  # of classifying samples and real ones by nearest neighbour; 0.5 is ideal


def fidelity(samples: np.ndarray, real: np.ndarray, neighbours: int) -> Fidelity:
    """Compare samples (n, f) with real ones (m, f), in sets of equal size.

    All scores depend on the number of points, so they are averaged over batches of m samples; if there are
    fewer samples than real ones, evenly selected real ones are used.

    Raises:
        ValueError: if a batch has at most ``neighbours`` points.
    """
    size = min(len(samples), len(real))
    if size <= neighbours:
        raise ValueError(f"{neighbours} neighbours need more than {neighbours} points, got {size}")
    chosen = real[np.round(np.linspace(0, len(real) - 1, size)).astype(int)]
    turns = [
        _compare(samples[first : first + size], chosen, neighbours)
        for first in range(0, len(samples) - size + 1, size)
    ]
    return Fidelity(*np.mean(turns, axis=0).tolist())


def _compare(samples: np.ndarray, real: np.ndarray, neighbours: int) -> list[float]:
    within_real, within_samples = cdist(real, real), cdist(samples, samples)
    between = cdist(real, samples)
    # At index 0 is the point itself.
    real_radius = np.sort(within_real, axis=1)[:, neighbours]
    sample_radius = np.sort(within_samples, axis=1)[:, neighbours]
    inside = between < real_radius[:, None]
    return [
        float(inside.any(0).mean()),
        float((between < sample_radius[None]).any(1).mean()),
        float(inside.sum(0).mean() / neighbours),
        float((between.min(1) < real_radius).mean()),
        _neighbour_accuracy(within_real, within_samples, between),
    ]


def _neighbour_accuracy(within_real: np.ndarray, within_samples: np.ndarray, between: np.ndarray) -> float:
    """Return the leave-one-out accuracy of the nearest neighbour; a tie between both sides counts half."""
    right = []
    for within, across in ((within_real, between), (within_samples, between.T)):
        same = np.where(np.eye(len(within), dtype=bool), np.inf, within).min(1)
        other = across.min(1)
        right.append(np.where(same < other, 1.0, np.where(same == other, 0.5, 0.0)))
    return float(np.concatenate(right).mean())


@dataclass(frozen=True)
class Memorisation:
    """Comparison of the distances of samples and of held-out real skulls to the training skulls."""

    ratio: float  # median distance of samples to their nearest training skull, over that of held-out skulls
    p_value: float  # of samples being this near by chance (one-sided Mann-Whitney test)
    nearest: list[float]  # each sample's distance to its nearest training skull
    held_out_nearest: list[float]


def memorisation(samples: np.ndarray, training: np.ndarray, held_out: np.ndarray) -> Memorisation:
    """Compare distances to the nearest training skull, of samples (n, f) and of held-out skulls (m, f)."""
    nearest = cdist(samples, training).min(1)
    held = cdist(held_out, training).min(1)
    test = mannwhitneyu(nearest, held, alternative="less")
    ratio = float(np.median(nearest) / np.median(held))
    return Memorisation(
        round(ratio, 4), float(test.pvalue), np.round(nearest, 4).tolist(), np.round(held, 4).tolist()
    )
