"""Losses that several networks share."""

import torch
from torch.nn import functional


def dice_and_cross_entropy(logits: torch.Tensor, target: torch.Tensor, smooth: float = 1.0) -> torch.Tensor:
    """Return the mean soft Dice loss plus cross-entropy, as MONAI's ``DiceCELoss(sigmoid=True)``.

    Args:
        logits: (n, 1, x, y, z).
        target: the same shape, 0 or 1.
        smooth: voxels added to numerator and denominator of the Dice, which define it for empty targets.
    """
    probability = torch.sigmoid(logits)
    overlap = (probability * target).flatten(1).sum(1)
    total = probability.flatten(1).sum(1) + target.flatten(1).sum(1)
    dice = (2 * overlap + smooth) / (total + smooth)
    return 1 - dice.mean() + functional.binary_cross_entropy_with_logits(logits, target)
