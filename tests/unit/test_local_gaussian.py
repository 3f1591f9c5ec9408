"""The Gaussian from which latents are drawn: the covariance of latents, partly tapered with distance."""

import numpy as np
import pytest
import torch

from calvaria.families.local_gaussian import LocalGaussian

SHAPE = (2, 5, 4, 3)
LATENTS = torch.from_numpy(np.random.default_rng(0).standard_normal((6, *SHAPE), np.float32)).cumsum(2) + 3


def covariance(rows: torch.Tensor) -> np.ndarray:
    """Return the covariance (p, p) of values (n, ...)."""
    return np.cov(rows.flatten(1).double().numpy(), rowvar=False)


def taper(local: float, length: float) -> np.ndarray:
    """Return 1 - local + local * exp(-d^2 / (2 length^2)) between all pairs of values of a latent."""
    place = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1).reshape(-1, 4)[:, 1:]
    squared = ((place[:, None] - place) ** 2).sum(-1)
    return 1 - local + local * np.exp(-squared / (2 * length**2))


@pytest.mark.parametrize(("local", "length"), [(0.0, 1.0), (1.0, 0.5), (1.0, 2.0), (0.25, 1.0)])
def test_draws_have_the_tapered_covariance(local, length):
    gaussian = LocalGaussian.of(LATENTS, local, length)
    rng = np.random.default_rng(1)
    drawn = torch.stack([gaussian.deviation(rng) for _ in range(8000)])
    expected = covariance(LATENTS) * taper(local, length)
    assert np.abs(covariance(drawn) - expected).max() < 0.06 * expected.max()
    assert float(drawn.mean(0).abs().max()) < 0.06 * expected.max() ** 0.5
    torch.testing.assert_close(gaussian.mean, LATENTS.mean(0))


def test_a_draw_without_a_local_part_is_a_mixture_of_the_latents():
    basis = (LATENTS - LATENTS.mean(0)).flatten(1).T

    def residual(local: float) -> float:
        drawn = LocalGaussian.of(LATENTS, local, 1.0).deviation(np.random.default_rng(2)).flatten()
        nearest = basis @ torch.linalg.lstsq(basis, drawn, driver="gelsd").solution
        return float((nearest - drawn).norm() / drawn.norm())

    assert residual(0.0) < 1e-3
    assert residual(0.25) > 0.1


def test_a_draw_is_as_precise_under_autocast():
    gaussian = LocalGaussian.of(LATENTS, 0.25, 1.0)
    expected = gaussian.deviation(np.random.default_rng(5))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gaussian.deviation(np.random.default_rng(5)), expected)


def test_a_draw_depends_on_its_generator_alone():
    gaussian = LocalGaussian.of(LATENTS, 0.25, 1.0)
    one, again, other = (gaussian.deviation(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other)
