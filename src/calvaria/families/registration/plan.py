"""Which registrations there are, and which job makes which."""

import itertools

import numpy as np

from calvaria.families.registration import RegistrationFamily

TEMPLATE = -1  # the place in the population of whom every skull is registered to in template mode


def registrations(
    settings: RegistrationFamily, skulls: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """(moving, target) of every registration, as places in the population; `TEMPLATE` is the template.

    Raises:
        ValueError: if there are fewer than two skulls.
    """
    if skulls < 2:
        raise ValueError(f"registration needs at least 2 training skulls, got {skulls}")
    if settings.mode == "template":
        return [(place, TEMPLATE) for place in range(skulls)]
    every = list(itertools.combinations(range(skulls), 2))
    shuffled = [every[number] for number in rng.permutation(len(every))]
    if settings.partners is not None:
        shuffled = _with_partners(shuffled, settings.partners)
    return shuffled[: settings.pairs]


def _with_partners(pairs: list[tuple[int, int]], partners: int) -> list[tuple[int, int]]:
    """Return, in order, the pairs in which one skull has fewer than ``partners`` so far."""
    have: dict[int, int] = {}
    kept = []
    for one, other in pairs:
        if min(have.get(one, 0), have.get(other, 0)) < partners:
            have[one], have[other] = have.get(one, 0) + 1, have.get(other, 0) + 1
            kept.append((one, other))
    return kept
