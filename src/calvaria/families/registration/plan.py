"""The registrations of a family."""

import itertools

import numpy as np

from calvaria.families.registration import RegistrationFamily

TEMPLATE = -1  # place of the template, to which every skull is registered in template mode


def registrations(
    settings: RegistrationFamily, skulls: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Return (moving, target) of every registration, as places in the population, or `TEMPLATE`.

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
    """Keep, in order, the pairs in which one skull or both have fewer than ``partners`` kept pairs."""
    have: dict[int, int] = {}
    kept = []
    for one, other in pairs:
        if min(have.get(one, 0), have.get(other, 0)) < partners:
            have[one], have[other] = have.get(one, 0) + 1, have.get(other, 0) + 1
            kept.append((one, other))
    return kept
