"""Conversion of a network's state to named arrays and back."""

import numpy as np
import torch


def weights(network: torch.nn.Module, prefix: str) -> dict[str, np.ndarray]:
    """Return the network's state as named arrays."""
    return {f"{prefix}.{name}": value.cpu().numpy() for name, value in network.state_dict().items()}


def restore(
    network: torch.nn.Module, tensors: dict[str, np.ndarray], prefix: str, device: torch.device
) -> None:
    """Load the arrays of ``weights``, move the network to the device and set it to evaluation mode."""
    state = {
        name.removeprefix(f"{prefix}."): torch.from_numpy(value)
        for name, value in tensors.items()
        if name.startswith(f"{prefix}.")
    }
    network.load_state_dict(state)
    network.to(device).eval()
