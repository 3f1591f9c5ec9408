"""Input representation of generative networks, and decoding of their outputs into skulls.

A skull is thin bone in a large, mostly empty volume. Interpolating two skulls' distances to bone gives no
bone where the skulls do not overlap, so generated skulls would have gaps. By default the vault is therefore
represented by two solids: the head with its cavity filled, and the cavity. Bone is their difference, and a
skull interpolated between two others has its surfaces midway.
"""

import numpy as np

from calvaria.geometry.grid import Grid
from calvaria.geometry.overlap import dice_of_pairs
from calvaria.geometry.projection import pixel_directions
from calvaria.geometry.signed_distance import signed_depth, subvoxel_depth
from calvaria.geometry.thresholds import count_keeping_threshold
from calvaria.skull.vault import INNER, Vault, find_vault

TRUNCATION_MM = 15.0  # more than the distance between the vaults of two heads, so that mixtures are smooth
THRESHOLDS = 0.5 * np.sinh(np.linspace(-4, 4, 81)) / np.sinh(4)  # candidates for decoding, denser near 0
# Spacing above which occupancies are ignored: bone is one or two voxels thick there, and small errors of
# distances that are precise to a fraction of a voxel make holes in it.
COARSE_MM = 2.0
CHANNELS = {"surfaces": 2, "distance": 1, "occupancy": 1}
RAYS = 96  # pixels per edge of the map of the vault's wall: two to three degrees per pixel
REACH_DEG = 125.0  # from the top of the head to the map's border
BELOW_VOXELS = 2.5  # depth below the vault's floor to which the head is filled
OPEN_VOXELS = 3.0  # further depth to which the cavity extends


def encode(
    masks: np.ndarray, representation: str, grid: Grid, occupancies: np.ndarray | None = None
) -> np.ndarray:
    """Return the fields of skulls.

    Args:
        masks: (n, x, y, z), non-zero where there is bone.
        representation: ``distance`` for truncated signed distances, ``occupancy`` for 1 and -1,
            ``surfaces`` for the distances inside the filled head and outside the cavity.
        grid: the grid of the skulls.
        occupancies: (n, x, y, z) uint8 share of every voxel in bone, 0 to 255, by which distances are precise
            to a fraction of a voxel on grids of up to ``COARSE_MM``; without them, surfaces are midway
            between voxels.

    Returns:
        (n, c, x, y, z) float32 in [-1, 1], c from ``CHANNELS``. Bone is where all channels are positive; a
        distance of 1 is a depth of at least ``TRUNCATION_MM``.
    """
    if grid.spacing_mm > COARSE_MM:
        occupancies = None
    fields = np.empty((len(masks), CHANNELS[representation], *masks.shape[1:]), np.float32)
    for i, (field, mask) in enumerate(zip(fields, masks, strict=True)):
        bone = np.ascontiguousarray(mask > 0)
        share = None if occupancies is None else occupancies[i] / np.float32(255)
        if representation == "occupancy":
            field[0] = np.where(bone, 1, -1)
        elif representation == "distance":
            field[0] = _depth(bone, share, grid)
        else:
            filled, cavity = head_and_cavity(bone, grid)
            shares = (None, None) if share is None else _shares(bone, share, filled, cavity)
            field[0], field[1] = _depth(filled, shares[0], grid), -_depth(cavity, shares[1], grid)
    return fields


def _shares(
    bone: np.ndarray, share: np.ndarray, filled: np.ndarray, cavity: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of every voxel in the filled head and in the cavity, (x, y, z) float32 each.

    What a voxel at the outer surface has beside bone is outside of the head; at the inner surface it is
    cavity.
    """
    from scipy.ndimage import maximum_filter

    outside, inside = (maximum_filter(mask, 3) for mask in (~filled, cavity))
    return (
        np.where(outside & ~(cavity & filled), share, filled).astype(np.float32),
        np.where(inside & (bone | cavity), 1 - share, cavity).astype(np.float32),
    )


def _depth(mask: np.ndarray, share: np.ndarray | None, grid: Grid) -> np.ndarray:
    """Return the signed distance from a mask's surface, (x, y, z), truncated to 1 inside, -1 outside."""
    depth = signed_depth(mask) if share is None else subvoxel_depth(mask, share)
    return np.asarray(np.clip(depth * (grid.spacing_mm / TRUNCATION_MM), -1, 1))


def head_and_cavity(bone: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return two solids whose difference is exactly the skull: the head with its cavity filled, the cavity.

    The cavity extends to the vault's wall and, below, to a plane. The filled head ends above that plane, so
    that the decoded skull stays open at the base.

    Args:
        bone: (x, y, z) bool, a complete skull.

    Returns:
        filled head and cavity, (x, y, z) bool each.

    Raises:
        InputError: if there is no head-sized piece of bone.
    """
    vault = find_vault(bone, grid)
    axes = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    away = np.stack(axes, axis=-1) - vault.centre_mm
    height = vault.above_floor(*np.moveaxis(away, -1, 0)) / grid.spacing_mm
    before = np.linalg.norm(away, axis=-1) < _wall(bone, away, grid, vault)
    cavity = ~bone & before & (height > -BELOW_VOXELS - OPEN_VOXELS)
    return bone | (cavity & (height > -BELOW_VOXELS)), cavity


def _wall(bone: np.ndarray, away: np.ndarray, grid: Grid, vault: Vault) -> np.ndarray:
    """Return the distance in mm from the vault's centre to mid-wall, in the direction of every voxel.

    At a hole in the wall, the distance is that of the nearest bone.

    Args:
        away: (x, y, z, 3) mm from the vault's centre.
    """
    from scipy.ndimage import distance_transform_edt, map_coordinates

    reach = np.deg2rad(REACH_DEG)
    rays = pixel_directions(RAYS, REACH_DEG)
    distances = grid.spacing_mm * np.arange(0.5, np.linalg.norm(bone.shape) / 2, 0.5)
    points = np.array(vault.centre_mm) + distances[:, None] * rays[..., None, :]
    index = np.floor(points / grid.spacing_mm + np.array(bone.shape) / 2).astype(int)
    inside = ((index >= 0) & (index < bone.shape)).all(-1)
    index[~inside] = 0
    far = distances * np.linalg.norm(rays / vault.semi_axes_mm, axis=-1)[..., None] >= INNER
    met = bone[index[..., 0], index[..., 1], index[..., 2]] & inside & far
    entered = met.argmax(-1)
    left = (~met & (np.arange(len(distances)) > entered[..., None])).argmax(-1)
    wall = (distances[entered] + distances[left]) / 2
    nearest = distance_transform_edt(~met.any(-1), return_distances=False, return_indices=True)
    wall = wall[tuple(nearest)]
    flat = np.maximum(np.hypot(away[..., 0], away[..., 1]), 1e-9)
    angle = np.arctan2(flat, away[..., 2]) / reach
    pixels = [(away[..., axis] / flat * angle + 1) / 2 * RAYS - 0.5 for axis in (0, 1)]
    return np.asarray(map_coordinates(wall, pixels, order=1, mode="nearest"))


def bone_depth(fields: np.ndarray) -> np.ndarray:
    """Return the depth in bone, (n, x, y, z), of fields (n, c, x, y, z); negative outside."""
    return fields.min(1)


def decode(fields: np.ndarray, threshold: float = 0.0) -> np.ndarray:
    """Return skulls (n, x, y, z) uint8 of fields (n, c, x, y, z): bone is deeper than the threshold."""
    return (bone_depth(fields) > threshold).astype(np.uint8)


def volume_keeping_threshold(fields: np.ndarray, bone_fraction: float) -> float:
    """Return the threshold at which fields (n, c, x, y, z) have this fraction of bone voxels.

    A network with blurred outputs makes all skulls too thick or too thin by the same amount, so drawn
    skulls are thresholded to the mean bone volume of the real ones.
    """
    values = bone_depth(fields).ravel()
    bone = min(max(round(bone_fraction * len(values)), 1), len(values) - 1)
    return float(count_keeping_threshold(values, bone + 1))


def overlap_threshold(fields: np.ndarray, masks: np.ndarray) -> float:
    """Return the threshold with the greatest mean Dice of fields (n, c, x, y, z) and masks (n, x, y, z)."""
    scores = [np.mean(dice_of_pairs(decode(fields, threshold), masks)) for threshold in THRESHOLDS]
    return float(THRESHOLDS[int(np.argmax(scores))])
