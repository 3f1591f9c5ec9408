"""Classifier two-sample test (Lopez-Paz and Oquab 2017): how well can a classifier separate samples from real
skulls?

Boosted trees learn from patches of some skulls which patches of others are those of samples. The area under
the ROC curve is 0.5 if the classifier has to guess, 1 if it is always right.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

FOLDS = 5
FEWEST = 4  # groups of skulls per side
TREES, LEAVES, RATE, PENALTY = 60, 8, 0.1, 1.0


@dataclass(frozen=True)
class TwoSample:
    """Areas under the ROC curve, means over folds; the classifier knows none of a fold's skulls."""

    patch_auc: float
    skull_auc: float  # of the mean score of a skull's patches
    skulls: int  # on each side


def two_sample(
    samples: np.ndarray,
    real: np.ndarray,
    sample_groups: Sequence[Hashable],
    real_groups: Sequence[Hashable],
) -> TwoSample | None:
    """Compare samples, (n, patches, f), with real skulls, (m, patches, f).

    As many samples as real skulls are used, in batches whose areas are averaged; if there are fewer samples,
    evenly selected real skulls.

    Args:
        sample_groups: of each sample; skulls of one group, such as those of one person, are in one fold.
        real_groups: the same of each real skull.

    Returns:
        None if a side has fewer than ``FEWEST`` groups.
    """
    size = min(len(samples), len(real))
    chosen = evenly(len(real), size)
    found = []
    for first in range(0, len(samples) - size + 1, size):
        batch = slice(first, first + size)
        sides = (_folds(sample_groups[batch]), _folds([real_groups[i] for i in chosen]))
        if sides[0] is None or sides[1] is None:
            return None
        count = min(sides[0].max(), sides[1].max()) + 1
        folds = np.concatenate([side % count for side in sides])
        found.append(_areas(np.concatenate([samples[batch], real[chosen]]), size, folds))
    patch, skull = np.mean(found, axis=0)
    return TwoSample(float(patch), float(skull), size)


def evenly(count: int, most: int) -> np.ndarray:
    """Return the indices of at most ``most`` of ``count`` skulls, evenly selected."""
    return np.round(np.linspace(0, count - 1, min(count, most))).astype(int)


def _folds(groups: Sequence[Hashable]) -> np.ndarray | None:
    """Return (n,) the fold of each skull, the groups dealt out in order; None if there are too few."""
    order = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    if len(order) < FEWEST:
        return None
    return np.array([order[group] for group in groups]) % min(FOLDS, len(order))


def _areas(features: np.ndarray, samples: int, folds: np.ndarray) -> tuple[float, float]:
    """Return the areas per patch and per skull; the first skulls of (skulls, patches, f) are samples."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from threadpoolctl import threadpool_limits

    is_sample = np.arange(len(features)) < samples
    patches = features.shape[1]
    by_patch, by_skull = [], []
    for fold in np.unique(folds):
        known, rest = folds != fold, folds == fold
        model = HistGradientBoostingClassifier(
            max_iter=TREES,
            max_leaf_nodes=LEAVES,
            learning_rate=RATE,
            l2_regularization=PENALTY,
            early_stopping=False,
            random_state=0,
        )
        labels = np.repeat(is_sample, patches).reshape(-1, patches)
        with threadpool_limits(1, "openmp"):  # a job has one core
            model.fit(features[known].reshape(-1, features.shape[2]), labels[known].reshape(-1))
            score = model.decision_function(features[rest].reshape(-1, features.shape[2]))
        by_patch.append(roc_auc_score(labels[rest].reshape(-1), score))
        by_skull.append(roc_auc_score(is_sample[rest], score.reshape(-1, patches).mean(axis=1)))
    return float(np.mean(by_patch)), float(np.mean(by_skull))
