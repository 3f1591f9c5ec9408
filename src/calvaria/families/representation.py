"""What the generative networks see of a skull, and how a skull is read from what they make."""

import numpy as np

TRUNCATION_VOXELS = 2.5
THRESHOLDS = np.linspace(-0.5, 0.5, 51)  # among these the decoding threshold is chosen


def encode(masks: np.ndarray, representation: str = "distance") -> np.ndarray:
    """Fields of skulls.

    Args:
        masks: (n, x, y, z), non-zero where there is bone.
        representation: ``distance`` for truncated signed distances, ``occupancy`` for 1 and -1.

    Returns:
        (n, 1, x, y, z) float32 in [-1, 1], positive inside bone; a distance of 1 is ``TRUNCATION_VOXELS``
        deep inside.
    """
    import edt

    fields = np.empty((len(masks), 1, *masks.shape[1:]), np.float32)
    for field, mask in zip(fields, masks, strict=True):
        bone = np.ascontiguousarray(mask > 0)
        if representation == "occupancy":
            field[0] = np.where(bone, 1, -1)
            continue
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

    A network that is not quite sharp makes all skulls too thick or too thin by the same amount: drawn
    skulls are cut where their mean bone volume is that of the real skulls.
    """
    values = fields.ravel()
    bone = min(max(round(bone_fraction * len(values)), 1), len(values) - 1)
    return float(np.partition(values, -bone - 1)[-bone - 1])


def overlap_threshold(fields: np.ndarray, masks: np.ndarray) -> float:
    """The threshold at which fields (n, 1, x, y, z) have the greatest mean Dice with masks (n, x, y, z)."""
    found = [np.mean(dice(decode(fields, threshold), masks)) for threshold in THRESHOLDS]
    return float(THRESHOLDS[int(np.argmax(found))])


def dice(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) Dice of pairs of masks, (n, x, y, z) each."""
    axes = (1, 2, 3)
    a, b = masks > 0, others > 0
    both = np.count_nonzero(a & b, axis=axes)
    return 2 * both / np.maximum(np.count_nonzero(a, axis=axes) + np.count_nonzero(b, axis=axes), 1)
