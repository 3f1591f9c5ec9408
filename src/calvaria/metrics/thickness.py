"""Thickness of the vault: its distribution over the vault, and at every place over the skulls."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from calvaria.metrics.surface_map import SurfaceMap, view
from calvaria.skull.measures import vault_directions

PLACES = 280
BIN_MM, MOST_MM = 0.05, 40.0  # of the distribution


@dataclass(frozen=True)
class Thickness:
    """The thickness of one vault; a hole has a thickness of 0."""

    distribution: np.ndarray  # (bins,) share of the vault's solid angle by thickness
    places_mm: np.ndarray  # (PLACES,) mean around directions spread evenly over the vault
    contrast_mm: float  # rms difference from that mean, within about 13 mm


@dataclass(frozen=True)
class Difference:
    """Distances between the thickness of two sets of vaults; more than 0 even for sets of real ones."""

    vault_mm: float  # Wasserstein distance between the distributions over all vaults
    place_mm: float  # mean over places of the Wasserstein distance between vaults


def thickness(surfaces: SurfaceMap, spacing_mm: float) -> Thickness:
    """Return the thickness of a skull's vault."""
    seen, near = view(spacing_mm), _near(spacing_mm)
    values, weight = surfaces.thickness_mm[seen.vault].astype(np.float64), seen.solid_angle[seen.vault]
    bins = np.minimum(values / BIN_MM, MOST_MM / BIN_MM - 1).astype(np.intp)
    distribution = np.bincount(bins, weight, round(MOST_MM / BIN_MM))
    around = np.maximum(np.bincount(near, weight, PLACES), 1e-12)
    mean = np.bincount(near, weight * values, PLACES) / around
    contrast = np.sqrt((weight * (values - mean[near]) ** 2).sum() / weight.sum())
    return Thickness(distribution / distribution.sum(), mean, float(contrast))


@cache
def _near(spacing_mm: float) -> np.ndarray:
    """Return (n,) the place nearest to each pixel of the vault."""
    seen = view(spacing_mm)
    return np.argmax(seen.directions[seen.vault] @ vault_directions(PLACES).T, axis=1)


def difference(some: Sequence[Thickness], others: Sequence[Thickness]) -> Difference:
    """Compare two sets of vaults."""
    from scipy.stats import wasserstein_distance

    bins = (np.arange(round(MOST_MM / BIN_MM)) + 0.5) * BIN_MM
    a, b = (np.mean([one.distribution for one in side], axis=0) for side in (some, others))
    first, second = (np.stack([one.places_mm for one in side], axis=1) for side in (some, others))
    by_place = [wasserstein_distance(x, y) for x, y in zip(first, second, strict=True)]
    return Difference(float(wasserstein_distance(bins, bins, a, b)), float(np.mean(by_place)))
