"""Voxel positions of a NIfTI file: the up to three descriptions in its header must be consistent.

pixdim gives the spacing; the qform adds a rotation and an origin; the sform is a separate affine. Programs
differ in which of them they use, so the position or size of a file whose forms disagree is ambiguous.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from calvaria.geometry.grids import corners_apart_mm

Affine = npt.NDArray[np.float64]  # (4, 4) voxel indices to RAS+ millimetres

LENGTH = 0.01  # maximum difference of a column of the sform from pixdim, relative to pixdim
APART_MM = 1.0  # maximum distance between the corners of sform and qform in a file that is read
WRITTEN_APART_MM = 0.01  # the same in a file that is written
SHEAR = 2e-3  # cosine between two axes; directions rounded to three digits stay below
_QUATERNION_EXCESS = 1e-3  # by rounding, in the sum of squares of b, c and d
_SAME_AXIS = np.cos(np.pi / 4)  # a gantry tilts by less


def is_sheared(affine: Affine) -> bool:
    """Return whether two axes of the affine are not at right angles, so that no qform can express it."""
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(cosines.T @ cosines)[np.triu_indices(3, 1)].max() > SHEAR)


def from_quaternion(
    bcd: Sequence[float], offset: Sequence[float], spacing: Sequence[float], qfac: float
) -> Affine:
    """Return the affine of a qform, as NIfTI-1 defines it.

    Args:
        bcd: (3,) quatern_b, quatern_c, quatern_d.
        offset: (3,) qoffset_x, qoffset_y, qoffset_z.
        spacing: (3,) pixdim[1] to pixdim[3].
        qfac: pixdim[0]; a negative one flips the third axis, 0 counts as 1.

    Raises:
        ValueError: if the quaternion is not that of a rotation, beyond rounding, or a value is not finite.
    """
    from nibabel.quaternions import quat2mat

    squares = float(np.square(bcd).sum())
    if not squares <= 1 + _QUATERNION_EXCESS or not np.isfinite(offset).all():
        raise ValueError(f"quaternion {list(bcd)} with offset {list(offset)}")
    # quat2mat scales to unit length, so that an excess by rounding leaves a half turn.
    affine = np.eye(4)
    affine[:3, :3] = quat2mat([np.sqrt(max(0.0, 1 - squares)), *bcd]) * spacing
    affine[:3, 2] *= -1 if qfac < 0 else 1
    affine[:3, 3] = offset
    return affine


def resolve(
    sform: Affine | None, qform: Affine | None, spacing: npt.NDArray[np.float64], shape: Sequence[int]
) -> Affine:
    """Return the one affine of a file; the sform's where both forms are set.

    Args:
        sform: invertible; None if its code is not positive.
        qform: likewise.
        spacing: (3,) pixdim[1] to pixdim[3] in mm.
        shape: voxels along i, j, k.

    Raises:
        ValueError: if neither is set, or if they disagree; the message names both, and a remedy.
    """
    if sform is None:
        if qform is None:
            raise ValueError(
                "its header has neither sform nor qform, so left and right are undefined; set the sform"
            )
        return qform
    _check_lengths(sform, spacing)
    if qform is not None:
        _check_forms(sform, qform, shape)
    return sform


def has_qform(affine: Affine, shape: Sequence[int]) -> bool:
    """Return whether a file with this affine is written with a qform, i.e. whether one can express it."""
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_qform(affine, 1)
    return corners_apart_mm(affine, header.get_qform(), shape) <= WRITTEN_APART_MM


def _check_lengths(sform: Affine, spacing: npt.NDArray[np.float64]) -> None:
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    # Under a tilted gantry, pixdim may give the distance between slices, which is shorter than the step.
    heights = 1 / np.linalg.norm(np.linalg.inv(sform[:3, :3]), axis=1)
    off = np.minimum(np.abs(lengths / spacing - 1), np.abs(heights / spacing - 1))
    if off.max() > LENGTH:
        raise ValueError(
            f"its sform has voxels of {_times(lengths)} mm, its pixdim of {_times(spacing)} mm, expected "
            f"them to agree within {LENGTH:.0%}; correct the one that is wrong, with the scanner's spacing"
        )


def _check_forms(sform: Affine, qform: Affine, shape: Sequence[int]) -> None:
    apart = corners_apart_mm(sform, qform, shape)
    if apart <= APART_MM:
        return
    axes = [form[:3, :3] / np.linalg.norm(form[:3, :3], axis=0) for form in (sform, qform)]
    if is_sheared(sform) and (axes[0] * axes[1]).sum(axis=0).min() > _SAME_AXIS:
        return  # a tilted gantry: the qform is the closest that a quaternion can express
    raise ValueError(
        f"its sform (axes {_letters(sform)}) and its qform (axes {_letters(qform)}) put corners up to "
        f"{apart:.3g} mm apart, expected at most {APART_MM:g} mm; find out which one is right, and set the "
        "code of the other to 0"
    )


def _letters(affine: Affine) -> str:
    from nibabel.orientations import aff2axcodes

    return "".join(str(letter) for letter in aff2axcodes(affine))


def _times(lengths: npt.NDArray[np.float64]) -> str:
    return " x ".join(f"{length:.4g}" for length in lengths)
