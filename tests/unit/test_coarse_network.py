"""The coarse network predicts no implant in bone."""

import torch

from calvaria.reconstruction.coarse.network import BONE_LOGIT, ReconstructionNetwork


def test_an_implant_is_never_in_bone_and_nothing_is_learned_there():
    """Predictions in bone would blur the rim and leave a gap of a millimetre around implants."""
    seen = torch.zeros(1, 2, 16, 16, 16)
    seen[:, 0, :, 4:10] = 1
    bone = seen[:, :1] > 0
    network = ReconstructionNetwork(2, 2, (8, 8, 16), heads=1)
    for answer in (network(seen), *network.level_logits(seen)):
        assert (answer[bone] == BONE_LOGIT).all()
        assert (answer[~bone] > BONE_LOGIT / 2).all()
        (slope,) = torch.autograd.grad(answer[bone].sum(), network.heads[0].bias, allow_unused=True)
        assert slope is None or not slope.any()
    skull = ReconstructionNetwork(2, 2, (8, 8, 16), exclude_bone=False)
    assert (skull(seen)[bone] > BONE_LOGIT / 2).all()
