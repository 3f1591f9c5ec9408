"""Networks are initialised by linear algebra, which is correct before any training."""

import numpy as np
import pytest
import torch

from calvaria.families.networks.adversarial import SkullGenerator
from calvaria.families.networks.autoencoders import Autoencoder, DenseAutoencoder
from calvaria.families.networks.denoiser import Denoiser
from calvaria.families.networks.linear import Gaussian
from calvaria.families.networks.models import model_of, network_of, recompute_activations
from calvaria.families.vqvae.training import code_use, move_codes, perplexity
from calvaria.families.wgan.training import energy_distance
from calvaria.training.folding import fold, unfold

SHAPE = (16, 24, 16)
CPU = torch.device("cpu")


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, np.float32))


def an_autoencoder(**more: int) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(shape=SHAPE, inputs=2, patch=4, channels=(16,), blocks=1, latent_channels=4, **more)


def test_folding_is_undone_by_unfolding():
    volume = torch.arange(2 * 4 * 8 * 12, dtype=torch.float32).reshape(1, 2, 4, 8, 12)
    assert fold(volume, 4).shape == (1, 128, 1, 2, 3)
    assert torch.equal(unfold(fold(volume, 4), 4), volume)


def test_an_untrained_autoencoder_is_the_best_linear_one():
    """Fields that are sums of four patterns per block are reconstructed exactly."""
    patterns, weights = noise(4, 128), noise(6, 4, 4, 6, 4, seed=1)
    fields = unfold(torch.einsum("nkxyz,kc->ncxyz", weights, patterns), 4)
    network = an_autoencoder().eval()
    network.start(fields.mean(0), fields)
    latents, sigma = network.encode(fields)
    assert latents.shape == (6, 4, 4, 6, 4)
    assert sigma.max() < 0.1
    torch.testing.assert_close(network.decode(latents), fields, rtol=1e-3, atol=1e-3)


def test_decoding_in_tiles_gives_what_decoding_at_once_gives():
    """They agree away from the tiles' borders; group normalisation is per tile and therefore excluded."""
    network = Autoencoder((64, 24, 16), 1, 4, (16,), 1, 4).eval()
    network.start(torch.zeros(1, 64, 24, 16), noise(3, 1, 64, 24, 16))
    latents = noise(1, 4, 16, 6, 4)
    torch.testing.assert_close(network.decode(latents, tile=8), network.decode(latents), rtol=1e-4, atol=1e-4)


def test_the_gaussian_has_the_variances_of_what_it_was_fitted_to():
    big, small = noise(1, 2, 3, 4, 3, seed=1), noise(1000, 2, 3, 4, 3, seed=2)
    values = 50 * noise(1000, seed=3)[:, None, None, None, None] * big / big.norm() + 0.5 * small + 7
    gaussian = Gaussian((2, 3, 4, 3), 1)
    gaussian.start(values)
    assert float(gaussian.deviations[0]) == pytest.approx(50, rel=0.05)
    coordinates = gaussian.coordinates(values)
    assert float(coordinates.std()) == pytest.approx(1, rel=0.05)
    back = gaussian.at(coordinates)
    assert float((back - values).std()) == pytest.approx(0.5, rel=0.05)


def test_the_denoiser_leaves_the_components_alone():
    torch.manual_seed(0)
    network = Denoiser((4, 5, 6, 5), modes=3, channels=(16, 16), conditions=1).eval()
    network.gaussian.start(noise(8, 4, 5, 6, 5))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    noisy = noise(2, 4, 5, 6, 5, seed=4)
    learned = network(noisy, torch.tensor([3, 900]), torch.tensor([[0.5], [torch.nan]]))
    assert learned.shape == noisy.shape
    assert learned.abs().max() > 0.01
    assert network.gaussian.along(learned).abs().max() < 1e-3 * learned.abs().max()


def test_a_withheld_condition_is_not_a_condition_of_zero():
    torch.manual_seed(0)
    network = Denoiser((4, 4, 4, 4), modes=0, channels=(16, 16), conditions=1).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    noisy, times = noise(1, 4, 4, 4, 4), torch.tensor([10])
    given, withheld = (network(noisy, times, torch.tensor([[v]])) for v in (0.0, torch.nan))
    assert (given - withheld).abs().max() > 1e-4
    assert torch.isfinite(withheld).all()


@pytest.mark.parametrize("patch", [2, 4])
@pytest.mark.parametrize("kind", [DenseAutoencoder, SkullGenerator])
def test_an_untrained_network_beside_a_shape_model_draws_from_it(kind, patch):
    fields = noise(5, 2, *SHAPE)
    torch.manual_seed(0)
    network = kind(SHAPE, 2, patch, (8, 16), latent_size=7, modes=4).eval()
    network.shapes.start(fields.mean(0), fields)
    with torch.no_grad():
        coordinates = network.shapes.coordinates(torch.cat([fields, fields.flip(2)]))
        drawn = (network.decode if kind is DenseAutoencoder else network)(noise(4, 7))
        linear = unfold(network.shapes.folded(noise(4, 7)[:, :4]), patch) + network.shapes.mean
    assert float(coordinates.square().mean()) == pytest.approx(1, rel=0.05)
    assert drawn.shape == (4, 2, *SHAPE)
    torch.testing.assert_close(drawn, linear)


def test_a_dense_autoencoder_encodes_to_its_latent_size():
    network = DenseAutoencoder(SHAPE, 1, 4, (8, 16), latent_size=7, modes=4).eval()
    assert [one.shape for one in network.encode(noise(2, 1, *SHAPE))] == [(2, 7), (2, 7)]


def test_recomputed_activations_give_the_same_gradients():
    fields = noise(2, 2, *SHAPE)
    gradients = []
    for recompute in (False, True):
        network = an_autoencoder()
        network.start(fields.mean(0), fields)
        if recompute:
            recompute_activations(network)
        with torch.no_grad():
            for parameter in network.decoder.parameters():
                parameter.add_(0.01)
        network.decode(network.encode(fields)[0]).square().sum().backward()
        gradients.append([p.grad for p in network.decoder.parameters()])
    assert any(one.abs().max() > 0 for one in gradients[0])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_a_network_is_built_again_from_what_is_saved(tmp_path):
    from calvaria.storage.models import load_model, save_model

    network = an_autoencoder(codes=8, groups=2)
    network.start(torch.zeros(2, *SHAPE), noise(3, 2, *SHAPE))
    save_model(tmp_path, model_of(network, {}, {"note": 1}))
    again = network_of(Autoencoder, load_model(tmp_path), CPU)
    latents = noise(1, *network.latent_shape)
    with torch.inference_mode():
        assert torch.equal(again.decode(latents), network.eval().decode(latents))


def test_dead_codes_are_moved_to_where_latents_are():
    network = an_autoencoder(codes=8, groups=2)
    network.quantiser.uses.copy_(torch.tensor([8.0, 0, 8, 8, 8, 8, 8, 0]))
    dead = code_use(network) < 0.01
    before = network.quantiser.codes.clone()
    latents = noise(1, 4, 3, 3, 3) + 20
    move_codes(network, dead, latents, np.random.default_rng(0))
    after = network.quantiser.codes
    assert (after[dead] > 10).all()
    assert torch.equal(after[~dead], before[~dead])
    assert (code_use(network) > 0.01).all()
    latents = latents.reshape(2, 2, 27).movedim(1, -1).reshape(-1, 2)
    assert all((latents == code).all(1).any() for code in after[dead])


def test_perplexity_counts_equally_used_codes():
    assert float(perplexity(torch.full((16,), 1 / 16))) == pytest.approx(16)
    assert float(perplexity(torch.tensor([1.0, 0, 0]))) == pytest.approx(1)


def test_the_energy_distance_is_zero_for_one_distribution_and_grows():
    one, other = noise(300, 5), noise(300, 5, seed=1)
    assert energy_distance(one, other) == pytest.approx(0, abs=0.05)
    assert energy_distance(one + 1, other) > 0.5
