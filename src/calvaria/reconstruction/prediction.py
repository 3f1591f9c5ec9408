"""Predicts implants with a trained network."""

import numpy as np
import torch

from calvaria.config import Evaluate
from calvaria.grid import BONE
from calvaria.reconstruction.network import network_input


def predict(network: torch.nn.Module, cases: torch.Tensor, settings: Evaluate) -> np.ndarray:
    """Implants for defective skulls.

    Args:
        network: in evaluation mode, on the device of the cases.
        cases: (n, x, y, z) uint8 labels, of which only the remaining bone is looked at.

    Returns:
        (n, x, y, z) bool: the largest connected piece of what the network calls implant, outside the bone.
    """
    implants = np.zeros(cases.shape, bool)
    for first in range(0, len(cases), settings.batch_size):
        batch = cases[first : first + settings.batch_size]
        missing = settings.batch_size - len(batch)
        padded = torch.cat([batch, batch[-1:].expand(missing, -1, -1, -1)]) if missing else batch
        with torch.inference_mode():
            probability = torch.sigmoid(network(network_input(padded)))[: len(batch), 0]
        found = (probability >= settings.threshold) & (batch != BONE)
        for place, implant in enumerate(found.cpu().numpy()):
            implants[first + place] = _largest_piece(implant)
    return implants


def _largest_piece(implant: np.ndarray) -> np.ndarray:
    import cc3d

    if not implant.any():
        return implant
    return np.asarray(cc3d.largest_k(implant, k=1, connectivity=26, binary_image=True)) > 0
