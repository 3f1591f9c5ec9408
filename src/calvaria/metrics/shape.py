"""Shape features of a skull, compared by the audit; computed without a pretrained network.

==========  ==================================================================================================
radii       mm from the vault's centre to its outer surface, in directions spread evenly over the vault
thickness   mm of bone in the same directions
asymmetry   mean left-right difference of both, mm
moments     bone volume (cube root, mm), width, length and height (mm), offset of the bone's centre from the
            vault's (mm), and second moments of bone about its centre (square roots, mm)
==========  ==================================================================================================
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from calvaria.geometry.grid import Grid
from calvaria.skull.measures import extent, vault_directions, vault_map

DIRECTIONS = 280


@dataclass(frozen=True)
class Scale:
    """Standardisation of features by the real training skulls."""

    mean: np.ndarray  # (f,)
    weight: np.ndarray  # (f,) 1 / standard deviation, scaled so that all groups have equal weight

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Map (n, f) features to (n, f) coordinates, to be compared by Euclidean distance."""
        return (features - self.mean) * self.weight


GROUPS = (("radii", DIRECTIONS), ("thickness", DIRECTIONS), ("asymmetry", 2), ("moments", 10))


def features(skull: np.ndarray, grid: Grid) -> np.ndarray:
    """Return (572,) float64 features of a complete skull, (x, y, z) non-zero where there is bone.

    Raises:
        ValueError: if the skull is empty.
    """
    low, high = extent(skull, grid)
    vault = vault_map(skull, grid)
    directions = vault_directions(DIRECTIONS)
    bins = _nearest(vault.directions, directions)
    closed = vault.outer_mm > 0
    count = np.maximum(np.bincount(bins, closed, DIRECTIONS), 1)
    radii = np.bincount(bins, vault.outer_mm * closed, DIRECTIONS) / count
    thickness = np.bincount(bins, vault.thickness_mm, DIRECTIONS) / np.bincount(bins, minlength=DIRECTIONS)
    mirrored = _nearest(directions * [-1, 1, 1], directions)
    asymmetry = [np.abs(values - values[mirrored]).mean() for values in (radii, thickness)]
    places = np.argwhere(skull > 0)
    points = np.stack([grid.centres(axis)[places[:, axis]] for axis in range(3)], axis=1)
    centre = points.mean(0)
    volume_mm3 = len(points) * grid.spacing_mm**3
    moments = [np.cbrt(volume_mm3), *(high - low), *(centre - vault.centre_mm), *points.std(0)]
    return np.concatenate([radii, thickness, asymmetry, moments])


def all_features(
    skulls: Iterable[np.ndarray], grid: Grid, done: Callable[[], None] | None = None
) -> np.ndarray:
    """Return (n, f) features of n skulls (x, y, z), read one by one; ``done`` is called after each."""
    rows = []
    for skull in skulls:
        rows.append(features(skull, grid))
        if done is not None:
            done()
    return np.stack(rows)


def scale_of(training: np.ndarray) -> Scale:
    """Return the scale of (n, f) features of training skulls.

    Within radii and thickness all directions share one standard deviation, so that none of them is
    inflated where real skulls happen to be similar.
    """
    weights, first = [], 0
    for name, size in GROUPS:
        spread = training[:, first : first + size].std(0)
        if name in ("radii", "thickness"):
            spread = np.full(size, np.sqrt(np.mean(spread**2)))
        weights.append(1 / np.maximum(spread, 1e-6) / np.sqrt(size))
        first += size
    return Scale(training.mean(0), np.concatenate(weights))


def _nearest(directions: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return (n,) the index of the place, (m, 3), closest to each direction, (n, 3)."""
    return np.argmax(directions @ places.T, axis=1)
