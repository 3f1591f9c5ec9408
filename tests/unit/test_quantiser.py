"""The quantiser finds the nearest codes and moves them as published; a plain implementation is compared."""

import pytest
import torch

from calvaria.families.networks.quantiser import CHUNK, DECAY, Quantiser
from tests.unit.test_networks import noise


def quantiser(count: int = 16, width: int = 3) -> Quantiser:
    made = Quantiser(count, width, commitment=0.25)
    made.codes.copy_(noise(count, width))
    made.sums.copy_(made.codes)
    made.uses.fill_(1)
    return made


def test_every_vector_gets_its_nearest_code():
    layer = quantiser().eval()
    latents = noise(2, 3, 13, 14, 15, seed=1)
    assert latents[:, 0].numel() > CHUNK
    quantised, loss, indices = layer(latents)
    vectors = latents.movedim(1, -1).reshape(-1, 3)
    plain = (vectors[:, None] - layer.codes).square().sum(2).argmin(1)
    assert torch.equal(indices.reshape(-1), plain)
    expected = layer.codes[plain].view(2, 13, 14, 15, 3).movedim(-1, 1)
    assert quantised == pytest.approx(expected, abs=1e-6)
    assert float(loss) == pytest.approx(0.25 * float((latents - expected).square().mean()), rel=1e-5)


def test_the_gradient_passes_through():
    layer = quantiser().eval()
    latents = noise(1, 3, 2, 2, 2, seed=1).requires_grad_()
    quantised, _, _ = layer(latents)
    quantised.sum().backward()
    assert torch.equal(latents.grad, torch.ones_like(latents))


def test_codes_move_to_the_mean_of_their_vectors_in_training_alone():
    layer = quantiser()
    latents = noise(4, 3, 5, 5, 5, seed=1)
    before = {name: value.clone() for name, value in layer.named_buffers()}
    layer.eval()(latents)
    assert all(torch.equal(before[name], value) for name, value in layer.named_buffers())
    _, _, indices = layer.train()(latents)
    chosen = torch.nn.functional.one_hot(indices.reshape(-1), 16).float()
    uses = DECAY * before["uses"] + (1 - DECAY) * chosen.sum(0)
    sums = DECAY * before["sums"] + (1 - DECAY) * chosen.T @ latents.movedim(1, -1).reshape(-1, 3)
    assert layer.uses == pytest.approx(uses, rel=1e-5)
    assert layer.codes == pytest.approx(sums / uses[:, None], rel=1e-3, abs=1e-4)
    for _ in range(2000):
        layer(latents)
    _, loss, _ = layer(latents)
    assert float(loss) < 0.25 * float((before["codes"][indices].movedim(-1, 1) - latents).square().mean())


def test_autocast_does_not_round_the_distances():
    layer = quantiser(256, 2).eval()
    latents = noise(1, 2, 10, 10, 10, seed=1)
    expected = layer(latents)[2]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(latents)[2], expected)
