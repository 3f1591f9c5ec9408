"""Connected components of labels; specks of implant and splinters of bone."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import find_objects, maximum_filter

from calvaria.geometry.grid import BONE, IMPLANT

Box = tuple[slice, slice, slice]

# An implant below this fraction of the largest one is a speck: bone that the defect's outline only grazes.
SPECK_FRACTION = 0.05
# Bone cut off from the skull is a splinter below this fraction of the largest implant.
SPLINTER_FRACTION = 0.1


class Pieces(NamedTuple):
    """The 26-connected components of every label; component 0 is the background.

    26 neighbours, because on a coarse grid bone is one or two voxels thick and its slopes are joined
    by corners only.
    """

    numbers: np.ndarray  # (x, y, z) unsigned, component of each voxel
    sizes: np.ndarray  # (n + 1,) int64 voxel counts, 0 for the background
    labels: np.ndarray  # (n + 1,) uint8, label of each component


def pieces(labels: np.ndarray) -> Pieces:
    """Return the components of (x, y, z) uint8 labels."""
    import cc3d

    labels = np.ascontiguousarray(labels)
    numbers, count = cc3d.connected_components(labels, connectivity=26, return_N=True)
    numbers = np.ascontiguousarray(numbers)
    voxels = np.flatnonzero(labels != 0)
    of_voxel = numbers.reshape(-1).take(voxels)
    owner = np.zeros(count + 1, np.uint8)
    owner[of_voxel] = labels.reshape(-1).take(voxels)
    return Pieces(numbers, np.bincount(of_voxel, minlength=count + 1), owner)


def largest_component(mask: np.ndarray, connectivity: int = 26) -> np.ndarray:
    """Return the largest connected component of a mask.

    Args:
        mask: (x, y, z) bool or uint8, non-zero inside.
        connectivity: 26, voxels that share at least a corner, for thin structures; 6, those that share
            a face, for solids.

    Returns:
        (x, y, z) bool; empty if the mask is.
    """
    import cc3d

    if not mask.any():
        return np.zeros(mask.shape, bool)
    return np.asarray(cc3d.largest_k(mask, k=1, connectivity=connectivity, binary_image=True)) > 0


class Implants(NamedTuple):
    """The box around all implants with a margin of one voxel, and the components in it."""

    box: Box
    components: Pieces


def implants(labels: np.ndarray, window: Box = (slice(0, None),) * 3) -> Implants | None:
    """Return the implants in (x, y, z) uint8 labels, all within a window; None if there are none."""
    if (box := bounding_box(labels[window], IMPLANT)) is None:
        return None
    box = grown(box, labels.shape, window)
    return Implants(box, pieces(labels[box]))


def settle(labels: np.ndarray, window: Box) -> Implants | None:
    """Relabel specks of implant as bone, and splinters of bone as implant, in place.

    A splinter is bone that was connected to the rest by the implant alone. Bone that reaches the faces of
    the window continues outside; bone that touches no implant was disconnected before the cut.

    Args:
        labels: (x, y, z) uint8, 0 background, 1 bone, 2 implant.
        window: a box around the implant, with a margin of one voxel.

    Returns:
        The implants after relabelling; None if there are none.
    """
    if (before := implants(labels, window)) is None:
        return None
    box, components = before
    block = labels[box]
    is_implant = components.labels == IMPLANT
    largest = components.sizes[is_implant].max()
    specks = is_implant & (components.sizes < SPECK_FRACTION * largest)
    splinters = cut_off(block, components) & (components.sizes < SPLINTER_FRACTION * largest)
    if not (specks.any() or splinters.any()):
        return before
    block[splinters[components.numbers]] = IMPLANT
    block[specks[components.numbers]] = BONE
    return implants(labels, window)


def cut_off(block: np.ndarray, components: Pieces) -> np.ndarray:
    """Return (n + 1,) bool: which components are bone that touches implant and ends within the block.

    Args:
        block: (x, y, z) uint8 labels around the implant, with a margin of one voxel.
        components: of the block.
    """
    bone = components.labels == BONE
    for axis in range(3):
        for face in (0, -1):
            bone[np.take(components.numbers, face, axis)] = False
    boxes = find_objects(components.numbers) if bone.any() else []
    for number in np.flatnonzero(bone):
        around = tuple(slice(part.start - 1, part.stop + 1) for part in boxes[number - 1])
        grown = maximum_filter(components.numbers[around] == number, 3)
        bone[number] = bool((block[around][grown] == IMPLANT).any())
    return np.asarray(bone)


def bounding_box(volume: np.ndarray, bit: int = 1) -> Box | None:
    """Return the smallest box around a mask.

    Args:
        volume: (x, y, z) bool mask, or uint8 labels.
        bit: the label of the mask, a power of two, so that a bitwise OR of labels finds it in one pass and
            without a copy.

    Returns:
        Slices along x, y, z; None if nothing is set.

    Raises:
        ValueError: if the volume has another type.
    """
    if volume.dtype.itemsize != 1:
        raise ValueError(f"labels must be bool or uint8, got {volume.dtype}")
    volume = volume.view(np.uint8)
    if volume.strides[0] < volume.strides[-1]:  # read along the axis that is the fastest in memory
        box = bounding_box(volume.T, bit)
        return box and (box[2], box[1], box[0])
    plane = np.bitwise_or.reduce(volume, axis=0) & bit
    if not plane.any():
        return None
    y, z = (_span(plane.any(axis=axis)) for axis in (1, 0))
    column = np.ascontiguousarray(volume[:, y, z])
    return _span(np.bitwise_or.reduce(column, axis=(1, 2)) & bit), y, z


def centroid(mask: np.ndarray) -> np.ndarray:
    """Return the mean index of a mask's voxels.

    Args:
        mask: (x, y, z) bool, not empty. Its voxels are not listed, as for bone the list takes more memory
            than the mask.

    Returns:
        (3,) float64.
    """
    box = bounding_box(mask)
    assert box is not None, "the mask is not empty"
    inner = mask[box]
    if inner.strides[0] < inner.strides[-1]:  # sums over contiguous sheets are fast
        x, y, z = _counts_along(inner.T)[::-1]
    else:
        x, y, z = _counts_along(inner)
    sums = [
        int((counts * np.arange(part.start, part.stop)).sum())
        for part, counts in zip(box, (x, y, z), strict=True)
    ]
    return np.array(sums) / int(x.sum())


def _counts_along(mask: np.ndarray) -> list[np.ndarray]:
    """Return the counts of a mask's voxels at each index of every axis, (x,), (y,) and (z,) int64."""
    first = np.array([np.count_nonzero(sheet) for sheet in mask], np.int64)
    sheet = np.zeros(mask.shape[1:], np.int64)
    for one in mask:
        sheet += one
    return [first, sheet.sum(axis=1), sheet.sum(axis=0)]


def _span(line: np.ndarray) -> slice:
    indices = np.flatnonzero(line)
    return slice(int(indices[0]), int(indices[-1]) + 1)


def grown(box: Box, shape: tuple[int, ...], window: Box = (slice(0, None),) * 3) -> Box:
    """Return a box enlarged by one voxel on every side, within the volume.

    Args:
        box: in the indices of the window.
        shape: of the volume.
        window: of the volume; by default all of it.
    """
    x, y, z = (
        slice(max(w.start + b.start - 1, 0), min(w.start + b.stop + 1, n))
        for b, w, n in zip(box, window, shape, strict=True)
    )
    return x, y, z
