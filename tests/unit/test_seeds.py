"""Random choices depend only on their keys."""

import pytest

from calvaria import seeds


def test_golden_values():
    """Random numbers are the same on every machine."""
    assert seeds.generator(7, "fit", "vae", 3).integers(1_000_000, size=3).tolist() == GOLDEN
    assert seeds.torch_generator(7, "fit", "vae", 3).initial_seed() == GOLDEN_TORCH


def test_keys_and_their_order_matter():
    draws = {
        seeds.generator(*keys).integers(2**62)
        for keys in [(0, "a", 1), (0, "a", 2), (0, "b", 1), (1, "a", 1), (0, 1, "a"), (0, "a1")]
    }
    assert len(draws) == 6


def test_negative_keys_are_refused():
    with pytest.raises(ValueError, match="-1"):
        seeds.generator(0, -1)


GOLDEN = [474838, 264026, 70106]
GOLDEN_TORCH = 5453280804857070172
