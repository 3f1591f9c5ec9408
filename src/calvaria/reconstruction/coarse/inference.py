"""Inference with trained coarse networks."""

from collections.abc import Sequence

import numpy as np
import torch

from calvaria.config import Evaluate
from calvaria.geometry.components import largest_component
from calvaria.geometry.grid import BONE
from calvaria.reconstruction.coarse.network import ReconstructionNetwork, mean_probability, network_input


def mean_probabilities(
    networks: Sequence[ReconstructionNetwork], cases: torch.Tensor, settings: Evaluate, mirror: bool
) -> np.ndarray:
    """Average the networks' probabilities; with ``settings.flip`` also over the flipped input.

    Args:
        networks: in evaluation mode, on the device of the cases.
        cases: (n, x, y, z) uint8 labels, of which only the remaining bone is used.
        mirror: whether the networks take the mirror image as a second channel.

    Returns:
        (n, x, y, z) float32 probability of the networks' target.
    """
    means = np.zeros(cases.shape, np.float32)
    for first in range(0, len(cases), settings.batch_size):
        batch = cases[first : first + settings.batch_size]
        count = len(batch)
        if count < settings.batch_size:  # pad: the batch size can change the last bits
            batch = torch.cat([batch, batch[-1:].expand(settings.batch_size - count, -1, -1, -1)])
        with torch.inference_mode():
            mean = mean_probability(networks, network_input(batch, mirror), settings.flip)[:count, 0]
        means[first : first + count] = mean.float().cpu().numpy()
    return means


def extract_implant(
    probability: np.ndarray, bone: np.ndarray, settings: Evaluate, predicts: str
) -> np.ndarray:
    """Return the implant in the networks' output for one skull.

    Args:
        probability: (x, y, z) of the implant or, if ``predicts`` is "skull", of the complete skull.
        bone: (x, y, z) bool, the remaining bone.

    Returns:
        (x, y, z) bool: the largest component above the threshold and outside of the bone.
    """
    outside = (probability >= settings.threshold) & ~bone
    if predicts == "skull":  # an uncertain layer around all bone would connect everything
        from scipy.ndimage import binary_opening

        outside = np.asarray(binary_opening(outside, np.ones((2, 2, 2))))
    return largest_component(outside)


def remaining_bone(cases: torch.Tensor) -> np.ndarray:
    """Return the remaining bone of cases, (n, x, y, z) bool."""
    return (cases == BONE).cpu().numpy()
