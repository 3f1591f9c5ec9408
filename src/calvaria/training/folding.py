"""Space-to-depth: blocks of voxels as channels.

A skull fills little of its large volume. Folding blocks of voxels into channels before the first
convolution, and unfolding them after the last, avoids most of the cost at full resolution.
"""

import torch

LAYOUT = torch.channels_last_3d  # convolutions about 1.5 times as fast on a CPU; suits tensor cores


def fold(volume: torch.Tensor, patch: int) -> torch.Tensor:
    """Rearrange (n, c, x, y, z) to (n, c * patch^3, x / patch, y / patch, z / patch)."""
    n, c, x, y, z = volume.shape
    blocks = volume.reshape(n, c, x // patch, patch, y // patch, patch, z // patch, patch)
    return blocks.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, c * patch**3, x // patch, y // patch, z // patch)


def unfold(channels: torch.Tensor, patch: int) -> torch.Tensor:
    """Invert ``fold``."""
    n, c, x, y, z = channels.shape
    blocks = channels.reshape(n, c // patch**3, patch, patch, patch, x, y, z)
    return blocks.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(n, c // patch**3, x * patch, y * patch, z * patch)
