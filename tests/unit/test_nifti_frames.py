"""The sform and qform of a NIfTI file agree, or the file is rejected; written forms always agree."""

import re
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from calvaria.errors import InputError
from calvaria.geometry.nifti_frames import from_quaternion, is_sheared
from calvaria.sources.volumes import read_volume
from calvaria.storage.nifti_file import SCANNER, nifti_bytes, tilt_note, write_nifti
from tests.unit.builders import mask

SHAPE = (6, 5, 4)
SPACING = np.array([0.9, 0.8, 1.5])


def affine_of(turn: tuple[float, float, float] = (0, 0, 0), tilt: float = 0) -> np.ndarray:
    """Return a (4, 4) affine with a rotation, and with slices shifted as by a gantry tilt in degrees."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * SPACING
    affine[:3, 2] += affine[:3, 1] / SPACING[1] * SPACING[2] * np.tan(np.deg2rad(tilt))
    affine[:3, 3] = (-12, 7, 40)
    return affine


def header_of(sform: np.ndarray | None, qform: np.ndarray | None, **fields: Any) -> nibabel.Nifti1Header:
    header = nibabel.Nifti1Header()
    header.set_data_shape(SHAPE)
    header.set_data_dtype(np.uint8)
    header.set_qform(sform if qform is None else qform, int(qform is not None))
    header.set_sform(sform, int(sform is not None))
    for name, value in fields.items():
        header[name] = value
    return header


def save(path, header: nibabel.Nifti1Header):
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path.write_bytes(header.binaryblock + bytes(4) + mask().tobytes("F"))
    return path


@settings(max_examples=30, deadline=None)
@given(st.tuples(*3 * [st.floats(-180, 180)]), st.sampled_from([-1.0, 0.0, 1.0]))
def test_quaternions_are_those_of_the_standard(turn, qfac):
    """The reference is nibabel, which rejects rounded values; a pixdim[0] of 0 counts as 1."""
    header = header_of(None, affine_of(turn))
    expected = header.get_qform()
    if qfac < 0:
        expected[:, 2] *= -1
    bcd = [float(header[f"quatern_{letter}"]) for letter in "bcd"]
    assert from_quaternion(bcd, (-12, 7, 40), SPACING.tolist(), qfac) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("excess", [4e-7, 1e-4])
def test_a_quaternion_that_is_too_long_by_rounding_is_a_half_turn(tmp_path, excess):
    header = header_of(None, affine_of((0, 0, 180)), quatern_d=np.sqrt(1 + excess), quatern_b=0, quatern_c=0)
    found = read_volume(save(tmp_path / "a.nii", header)).affine
    assert found == pytest.approx(affine_of((0, 0, 180)), abs=1e-5)


def test_a_quaternion_of_anything_else_is_refused(tmp_path):
    for fields in ({"quatern_b": 1.1}, {"quatern_c": np.nan}, {"qoffset_x": np.inf}):
        header = header_of(None, affine_of(), **fields)
        with pytest.raises(InputError, match=r"a\.nii: its qform is damaged .*; repair"):
            read_volume(save(tmp_path / "a.nii", header))


@pytest.mark.parametrize(("factor", "refused"), [(1.005, False), (1.02, True), (0.98, True), (1.0753, True)])
def test_the_sform_has_the_spacing_of_pixdim(tmp_path, factor, refused):
    """Programs use either of them; a length error of 7.5 % would make an implant useless."""
    header = header_of(affine_of((5, 10, 20)) @ np.diag([1, factor, 1, 1]), None)
    header["pixdim"][1:4] = SPACING
    path = save(tmp_path / "a.nii", header)
    if refused:
        with pytest.raises(
            InputError, match=r"sform has voxels of 0.9 x .* x 1.5 mm, its pixdim of 0.9 x 0.8 x 1.5"
        ):
            read_volume(path)
    else:
        read_volume(path)


@pytest.mark.parametrize("slice_mm", [1.5, 1.5 / np.cos(np.deg2rad(25))])
def test_under_a_tilt_pixdim_may_be_step_or_distance_of_slices(tmp_path, slice_mm):
    header = header_of(affine_of(tilt=25), None)
    header["pixdim"][1:4] = (*SPACING[:2], slice_mm)
    assert read_volume(save(tmp_path / "a.nii", header)).affine == pytest.approx(affine_of(tilt=25), abs=1e-5)


def other_forms() -> dict[str, np.ndarray]:
    """Return qforms that contradict the sform, by name."""
    moved = affine_of()
    moved[0, 3] += 1.2
    return {
        "left and right": affine_of() * [[-1], [1], [1], [1]],
        "turned": affine_of((0, 40, 0)),
        "moved": moved,
    }


@pytest.mark.parametrize("what", other_forms())
def test_forms_that_disagree_are_refused_with_both_named(tmp_path, what):
    """Bone does not show which form is right; the other can be disabled by its code."""
    qform = other_forms()[what]
    with pytest.raises(InputError, match=r"its sform \(axes RAS\) and its qform .* mm apart, .* to 0"):
        read_volume(save(tmp_path / "a.nii", header_of(affine_of(), qform)))
    for codes in ({"sform_code": 0}, {"qform_code": 0}):
        found = read_volume(save(tmp_path / "a.nii", header_of(affine_of(), qform, **codes))).affine
        assert found == pytest.approx(affine_of() if "qform_code" in codes else qform, abs=1e-4)


def test_forms_that_differ_a_little_agree(tmp_path):
    """Rounding is not a contradiction; the sform is used."""
    qform = affine_of()
    qform[:3, 3] += 0.5
    assert read_volume(save(tmp_path / "a.nii", header_of(affine_of(), qform))).affine == pytest.approx(
        affine_of()
    )


def test_a_sheared_sform_counts_beside_the_nearest_qform_alone(tmp_path):
    """A quaternion cannot express a gantry tilt, but it can still exchange left and right."""
    shape = (200, 200, 100)
    data = np.zeros(shape, np.uint8)
    for mirrored in (False, True):
        image = nibabel.Nifti1Image(data, affine_of(tilt=18.5))
        flip = [[-1], [1], [1], [1]] if mirrored else 1
        image.set_qform(affine_of() * flip, 1)
        image.set_sform(affine_of(tilt=18.5), 1)
        image.header["pixdim"][3] = np.linalg.norm(affine_of(tilt=18.5)[:3, 2])
        (tmp_path / "a.nii").write_bytes(image.to_bytes())
        if mirrored:
            with pytest.raises(InputError, match=r"axes RAS.*axes LAS"):
                read_volume(tmp_path / "a.nii")
        else:
            assert read_volume(tmp_path / "a.nii").affine == pytest.approx(affine_of(tilt=18.5), abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.tuples(*3 * [st.floats(-180, 180)]), st.floats(-30, 30), st.integers(2, 8))
def test_written_forms_agree_or_there_is_one(turn, tilt, digits):
    """They agree to 0.01 mm at every corner of a head, for any input header."""
    shape, affine = (300, 260, 180), np.round(affine_of(turn, tilt), digits)
    content = nifti_bytes(np.zeros(shape, np.uint8), affine, SCANNER, packed=False)
    image = nibabel.Nifti1Image.from_bytes(content)
    assert image.header["sform_code"] == SCANNER
    assert image.get_sform() == pytest.approx(affine, abs=1e-4)
    if image.header["qform_code"] > 0:
        corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
        step = (image.get_qform() - image.get_sform()) @ np.column_stack([corners, np.ones(8)]).T
        assert np.linalg.norm(step[:3], axis=0).max() < 0.01


@pytest.mark.parametrize(("tilt", "code"), [(0, SCANNER), (18.5, 0), (-5, 0)])
def test_a_tilt_is_written_without_qform_and_mentioned(tmp_path, tilt, code):
    """ITK uses the qform if its code is set, and would display the labels centimetres off."""
    affine = affine_of(tilt=tilt)
    assert is_sheared(affine) == (tilt != 0)
    path = tmp_path / "a.nii.gz"
    write_nifti(path, np.zeros((99, 99, 99), np.uint8), affine)
    assert nibabel.load(path).header["qform_code"] == code
    note = tilt_note(path, affine, (99, 99, 99))
    assert (note is None) == (code > 0)
    assert note is None or re.search(r"a\.nii\.gz: .*sform and no qform; ITK", note)
    assert tilt_note(tmp_path / "a.nrrd", affine, (99, 99, 99)) is None
    assert read_volume(path).affine == pytest.approx(affine, abs=1e-5)
