"""What the generative networks see of a skull: a truncated signed distance instead of thin bone in a void."""

import numpy as np

TRUNCATION_VOXELS = 2.5


def encode(masks: np.ndarray) -> np.ndarray:
    """Truncated signed distances of skulls, positive inside bone.

    Args:
        masks: (n, x, y, z), non-zero where there is bone.

    Returns:
        (n, 1, x, y, z) float32 in [-1, 1]; a value of 1 is ``TRUNCATION_VOXELS`` deep inside bone.
    """
    import edt

    fields = np.empty((len(masks), 1, *masks.shape[1:]), np.float32)
    for field, mask in zip(fields, masks, strict=True):
        bone = np.ascontiguousarray(mask > 0)
        # Distances run between voxel centres; the surface lies half a voxel before the other side.
        inside = edt.edt(bone, black_border=False)
        outside = edt.edt(~bone, black_border=False)
        field[0] = np.where(bone, inside - 0.5, 0.5 - outside) / TRUNCATION_VOXELS
    return np.clip(fields, -1, 1)


def decode(fields: np.ndarray, threshold: float = 0.0) -> np.ndarray:
    """Skulls from fields: (n, 1, x, y, z) to (n, x, y, z) uint8 with bone where the field is larger."""
    return (fields[:, 0] > threshold).astype(np.uint8)


def volume_keeping_threshold(fields: np.ndarray, bone_fraction: float) -> float:
    """The threshold at which fields (n, 1, x, y, z) have this fraction of bone voxels.

    A network that is not quite sharp makes all skulls too thick or too thin by the same amount.
    """
    values = fields.ravel()
    bone = min(max(round(bone_fraction * len(values)), 1), len(values) - 1)
    return float(np.partition(values, -bone - 1)[-bone - 1])
