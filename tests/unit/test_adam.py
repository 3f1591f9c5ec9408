"""Calvaria's Adam is bit-identical to torch's, also when stopped and resumed."""

import torch

from calvaria.training.adam import Adam


def steps(kind: type[torch.optim.Adam], stop_after: int | None = None) -> bytes:
    """Return the weights after some steps, optionally resuming the state in a new optimiser."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(size, generator=generator)) for size in (5, (3, 4))]
    optimiser = kind(weights, lr=0.1, betas=(0.5, 0.9))
    for step in range(6):
        if step == stop_after:
            saved, optimiser = optimiser.state_dict(), kind(weights, lr=0.1, betas=(0.5, 0.9))
            optimiser.load_state_dict(saved)
        optimiser.zero_grad()
        sum((weight**4 + weight).sum() for weight in weights).backward()
        optimiser.step()
    assert all(weight.requires_grad and weight.is_leaf for weight in weights)
    return b"".join(weight.detach().numpy().tobytes() for weight in weights)


def test_its_steps_have_the_bits_of_torchs():
    assert steps(Adam) == steps(torch.optim.Adam)
    assert steps(Adam, stop_after=3) == steps(Adam)
