"""Adam without the import of torch's compiler, which takes 2 s.

Torch wraps Adam's methods to hide them from its compiler, which the wrappers import. The methods below are
torch's own, unwrapped.
"""

from inspect import unwrap

import torch


class Adam(torch.optim.Adam):
    """Adam that is never compiled."""

    add_param_group = unwrap(torch.optim.Adam.add_param_group)
    zero_grad = unwrap(torch.optim.Adam.zero_grad)
    state_dict = unwrap(torch.optim.Adam.state_dict)
    load_state_dict = unwrap(torch.optim.Adam.load_state_dict)
    step = torch.no_grad()(unwrap(torch.optim.Adam.step))
