"""Segment the skull in a head CT: threshold, largest component, and other bone of the same head.

The scalp separates the skull from table and head holder, so the skull's connected component is free of them
and is kept whole. That component alone would lack lower jaw and spine where a joint shows a gap, which
varies from CT to CT. Other components are therefore kept, too, if they lie within the head's outline and
are at least as large as a hyoid bone; smaller ones are calcifications and noise.

The outline is derived from everything denser than fat by removing thin structures: shells of holders,
tables, cushions, straps, cables and ears are less than 12 mm thick, a head is not. Of the remaining
components, such as a sandbag, the head is the largest. Its openings, such as nose and mouth, are closed.
Skin and bone in front of a sinus are thin as well, so the outline may be too tight there; it only selects
components, and removes voxels only from 20 mm on, such as a holder whose metal causes a streak to the
skull. Without soft tissue, as in CTs of dry skulls, only the largest component is kept.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from calvaria.geometry.components import bounding_box, largest_component

TISSUE_HU = -300.0  # between fat and foam
COARSE_MM = 2.0  # voxels in which the outline is computed; finer ones only take longer
THIN_MM = 6.0  # half the thickness of removed structures
CLOSE_MM = 20.0  # radius of a ball that does not fit into the head's openings
MARGIN_MM = 2.0  # distance of the outline beyond the skin, as coarse voxels blur the skin
LEAST_HEAD_ML = 500.0  # with less soft tissue the scan has no head with skin
LEAST_PIECE_ML = 1.0

Mask = npt.NDArray[np.bool_]
Steps = npt.NDArray[np.intp]


def bones(values: npt.NDArray[Any], affine: npt.NDArray[np.float64], threshold_hu: float) -> Mask:
    """Return the skull, with lower jaw, teeth and spine as far as they are in view.

    Args:
        values: (i, j, k) Hounsfield units.
        affine: (4, 4) voxel indices to millimetres.

    Returns:
        (i, j, k) bool; empty if nothing near the head is as dense as the threshold.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    steps = np.maximum(np.round(COARSE_MM / spacing), 1).astype(np.intp)
    tight, wide = outlines(values[:: steps[0], :: steps[1], :: steps[2]], spacing * steps)
    bone = np.asfortranarray(values >= threshold_hu)
    for k in range(bone.shape[2]):  # slice by slice, to save memory
        bone[:, :, k] &= _slice(wide, steps, bone.shape, k)
    box = bounding_box(bone)
    if box is None:
        return bone
    least = int(np.ceil(LEAST_PIECE_ML * 1000 / abs(np.linalg.det(affine[:3, :3]))))
    _drop_pieces(bone, box, tight, steps, least)
    return bone


def outlines(values: npt.NDArray[Any], spacing: npt.NDArray[np.float64]) -> tuple[Mask, Mask]:
    """Return masks of the head and of the head with 20 mm around it; empty and full without soft tissue.

    Args:
        values: (i, j, k) Hounsfield units on coarse voxels.
        spacing: (3,) of these voxels in mm.
    """
    deep = _depth(values > TISSUE_HU, spacing) > THIN_MM
    core = largest_component(deep, connectivity=6)
    if np.count_nonzero(core) * np.prod(spacing) < LEAST_HEAD_ML * 1000:
        return np.zeros(core.shape, bool), np.ones(core.shape, bool)
    # Dilation by the ball and a smaller erosion, both by distances; beyond the border the head continues.
    padding = np.ceil((CLOSE_MM + THIN_MM) / spacing).astype(int) + 1
    inner = tuple(slice(n, -n) for n in padding)
    core = np.pad(core, [(n, n) for n in padding], mode="edge")
    wide = _depth(~core, spacing) < CLOSE_MM + THIN_MM
    tight = _depth(wide, spacing) > CLOSE_MM - MARGIN_MM
    return tight[inner], wide[inner]


def _depth(mask: Mask, spacing: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return (i, j, k) mm from each voxel of a mask to the nearest outside it, within the volume."""
    import edt

    anisotropy = tuple(float(mm) for mm in spacing)
    return np.asarray(edt.edt(np.asfortranarray(mask), anisotropy=anisotropy, order="F", parallel=1))


def _slice(coarse: Mask, steps: Steps, shape: tuple[int, ...], k: int) -> Mask:
    """Return slice k of a coarse mask on the fine voxels, (i, j), by nearest neighbour."""
    i, j = (
        np.minimum((np.arange(n) + step // 2) // step, m - 1)
        for n, step, m in zip(shape[:2], steps[:2], coarse.shape[:2], strict=True)
    )
    near = min((k + int(steps[2]) // 2) // int(steps[2]), coarse.shape[2] - 1)
    return np.asarray(coarse[:, :, near][np.ix_(i, j)])


def _drop_pieces(bone: Mask, box: tuple[slice, slice, slice], head: Mask, steps: Steps, least: int) -> None:
    """Clear all 26-connected components but the skull and those that are mostly in the head and not small.

    The skull is the component with the most voxels in the head, or the largest one if there is no head.
    """
    import cc3d

    pieces, count = cc3d.connected_components(bone[box], connectivity=26, return_N=True)
    sizes, inside = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    for n, k in enumerate(range(bone.shape[2])[box[2]]):  # of the whole, bincount would make an int64 copy
        within = _slice(head, steps, bone.shape, k)[box[:2]]
        sizes += np.bincount(pieces[:, :, n].ravel(), minlength=count + 1)
        inside += np.bincount(pieces[:, :, n][within], minlength=count + 1)
    sizes[0] = inside[0] = 0
    kept = (sizes >= least) & (2 * inside >= sizes)
    kept[(inside if inside.any() else sizes).argmax()] = True
    kept[0] = False
    for n, k in enumerate(range(bone.shape[2])[box[2]]):
        bone[box[0], box[1], k] = kept[pieces[:, :, n]]
