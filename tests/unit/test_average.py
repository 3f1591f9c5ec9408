"""The moving average of weights is bit-identical to diffusers', whose import takes longer than a job."""

import torch
from diffusers.training_utils import EMAModel

from calvaria.training.average import MovingAverage

DECAY = 0.6  # reached after the fifth step, so that both parts of the schedule are tested


def values(parameters: list[torch.nn.Parameter]) -> list[bytes]:
    return [parameter.detach().numpy().tobytes() for parameter in parameters]


def test_every_step_has_the_bits_of_diffusers():
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(7, generator=generator)) for _ in range(2)]
    parameters[1].requires_grad_(False)
    ours, theirs = MovingAverage(parameters, DECAY), EMAModel(parameters, decay=DECAY)
    for _ in range(12):
        for parameter in parameters:
            parameter.data += torch.randn(7, generator=generator)
        ours.step(parameters)
        theirs.step(parameters)
        assert values(ours.averages) == values(theirs.shadow_params)
    learned = values(parameters)
    assert values(ours.averages)[0] != learned[0]
    assert values(ours.averages)[1] == learned[1]
    ours.store(parameters)
    ours.copy_to(parameters)
    assert values(parameters) == values(ours.averages)
    ours.restore(parameters)
    assert values(parameters) == learned
