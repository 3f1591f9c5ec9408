"""Predicts implants with trained networks."""

from collections.abc import Sequence

import numpy as np
import torch

from calvaria.config import Evaluate
from calvaria.geometry.grid import BONE
from calvaria.reconstruction.coarse.network import ReconstructionNetwork, network_input


def probabilities(
    networks: Sequence[ReconstructionNetwork], cases: torch.Tensor, settings: Evaluate, mirror: bool
) -> np.ndarray:
    """What networks say of defective skulls, by their mean; with ``flip``, of the mirrored skulls, too.

    Args:
        networks: in evaluation mode, on the device of the cases.
        cases: (n, x, y, z) uint8 labels, of which only the remaining bone is looked at.
        mirror: whether the networks see the mirror image.

    Returns:
        (n, x, y, z) float32 probability of what the networks answer.
    """
    found = np.zeros(cases.shape, np.float32)
    for first in range(0, len(cases), settings.batch_size):
        batch = cases[first : first + settings.batch_size]
        count = len(batch)
        if count < settings.batch_size:  # the size of a batch can change the last bits
            batch = torch.cat([batch, batch[-1:].expand(settings.batch_size - count, -1, -1, -1)])
        with torch.inference_mode():
            seen = network_input(batch, mirror)
            answers = [torch.sigmoid(network(seen)) for network in networks]
            if settings.flip:
                answers += [torch.sigmoid(network(seen.flip(2))).flip(2) for network in networks]
            mean = torch.stack(answers).mean(0)[:count, 0]
        found[first : first + count] = mean.float().cpu().numpy()
    return found


def implant_of(probability: np.ndarray, bone: np.ndarray, settings: Evaluate, predicts: str) -> np.ndarray:
    """The implant in what networks said of one skull.

    Args:
        probability: (x, y, z) of the implant or, if that is what they predict, of the complete skull.
        bone: (x, y, z) bool, the remaining bone.

    Returns:
        (x, y, z) bool: the largest connected piece outside of the bone, never more than the network said.
    """
    outside = (probability >= settings.threshold) & ~bone
    if predicts == "skull":  # a layer of doubt around all bone would connect everything
        from scipy.ndimage import binary_opening

        outside = np.asarray(binary_opening(outside, np.ones((2, 2, 2))))
    return largest_piece(outside)


def largest_piece(mask: np.ndarray, connectivity: int = 26) -> np.ndarray:
    """The largest connected piece of a mask, or the empty mask itself.

    Args:
        connectivity: 26, voxels that touch at all, for what is interpolated afterwards; 6, those that share
            a face, for a solid.
    """
    import cc3d

    if not mask.any():
        return mask
    return np.asarray(cc3d.largest_k(mask, k=1, connectivity=connectivity, binary_image=True)) > 0


def grown(mask: np.ndarray, rounds: int = 1) -> np.ndarray:
    """A mask with all voxels that touch it, so many times."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask, np.ones((3, 3, 3)), iterations=rounds))


def remaining_bone(cases: torch.Tensor) -> np.ndarray:
    """(n, x, y, z) bool."""
    return (cases == BONE).cpu().numpy()
