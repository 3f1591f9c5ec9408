"""Volumes are read with their values and the geometry of the file, in all formats."""

import bz2
import gzip
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calvaria.errors import InputError
from calvaria.sources.volumes import (
    Volume,
    is_label_like,
    looks_like_ct,
    read_labels,
    read_mask,
    read_volume,
    skull_of,
)
from tests.unit.builders import AFFINE, SHAPE, mask, nifti_with, nrrd_text, write_nifti, write_nrrd


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 3000, SHAPE).astype(np.int16)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.NII.GZ", "a.nrrd"])
def test_values_and_affine_survive(tmp_path, values, name):
    """Guards axis order and data types of both formats."""
    write = write_nrrd if name.endswith("nrrd") else write_nifti
    volume = read_volume(write(tmp_path / name, values))
    assert np.array_equal(volume.values, values)
    assert volume.values.dtype == np.int16
    assert np.allclose(volume.affine, AFFINE, atol=1e-5)
    assert volume.affine.dtype == np.float64


def test_nifti_2_and_big_endian(tmp_path, values):
    """Both are rare but standard."""
    import nibabel

    nibabel.save(nibabel.Nifti2Image(values, AFFINE), tmp_path / "a.nii.gz")
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.save(nibabel.Nifti1Image(values, AFFINE, header), tmp_path / "b.nii")
    for name in ("a.nii.gz", "b.nii"):
        volume = read_volume(tmp_path / name)
        assert np.array_equal(volume.values, values)
        assert volume.values.dtype.isnative
        assert np.allclose(volume.affine, AFFINE, atol=1e-5)


angles = st.floats(-0.6, 0.6)
places = st.floats(-300, 300)
lengths = st.floats(0.2, 5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.tuples(angles, angles, angles), st.tuples(places, places, places), st.tuples(lengths, lengths, lengths)
)
def test_nrrd_in_lps_and_nifti_give_the_same_world(tmp_path, turn, origin, spacing):
    """Guards against swapped or mirrored axes: files of the same head by two libraries must agree."""
    from scipy.spatial.transform import Rotation

    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn).as_matrix() * spacing
    affine[:3, 3] = origin
    a = read_volume(write_nifti(tmp_path / "a.nii", mask(), affine))
    b = read_volume(write_nrrd(tmp_path / "b.nrrd", mask(), affine))
    corners = np.array([(i, j, k, 1) for i in (0, 5) for j in (0, 4) for k in (0, 3)])
    assert np.abs(corners @ (a.affine - b.affine).T).max() < 1e-3
    assert np.allclose(b.affine, affine)


@pytest.mark.parametrize(
    ("space", "signs"),
    [("left-posterior-superior", (-1, -1, 1)), ("LPS", (-1, -1, 1)), ("right-anterior-superior", (1, 1, 1)),
     ("RAS", (1, 1, 1)), ("left-anterior-superior", (-1, 1, 1)), ("las", (-1, 1, 1))],
)  # fmt: skip
def test_spaces_of_nrrd(tmp_path, space, signs):
    """Guards against exchanging left and right."""
    path = nrrd_text(tmp_path / "a.nrrd", space=space, space_origin="(3,4,5)")
    affine = read_volume(path).affine
    assert np.array_equal(affine[:3, :3], np.diag(signs))
    assert np.array_equal(affine[:3, 3], np.multiply(signs, (3, 4, 5)))


def test_spacings_alone_are_taken_as_ras(tmp_path):
    lines = {"space": None, "space_directions": None, "space_origin": None, "spacings": "1 2 3"}
    volume = read_volume(nrrd_text(tmp_path / "a.nrrd", **lines))
    assert np.array_equal(volume.affine, np.diag([1, 2, 3, 1]))


def test_detached_and_compressed_nrrd(tmp_path):
    """Headers with detached data, in all encodings, big-endian, and after a foreign header."""
    plain = np.arange(120, dtype=">i2").reshape(SHAPE, order="F")
    data = plain.tobytes("F")
    stored = {"raw": data, "gzip": gzip.compress(data), "bzip2": bz2.compress(data)}
    for encoding, content in stored.items():
        (tmp_path / "a.data").write_bytes(content)
        lines = {"type": "short", "endian": "big", "encoding": encoding, "data_file": "a.data"}
        volume = read_volume(nrrd_text(tmp_path / "a.nhdr", b"", **lines))
        assert np.array_equal(volume.values, plain)
        assert volume.values.dtype.isnative
    (tmp_path / "a.data").write_bytes(b"a header" + data)
    for skip in ("8", "-1"):
        lines = {"type": "short", "endian": "big", "data_file": "a.data", "byte_skip": skip}
        assert np.array_equal(read_volume(nrrd_text(tmp_path / "a.nhdr", b"", **lines)).values, plain)


def test_trailing_axes_of_one_are_dropped(tmp_path):
    assert read_volume(nifti_with(tmp_path / "a.nii", mask()[..., None])).values.shape == SHAPE
    lines = {"dimension": "4", "sizes": "6 5 4 1", "space_directions": "(1,0,0) (0,1,0) (0,0,1) none"}
    assert read_volume(nrrd_text(tmp_path / "a.nrrd", **lines)).values.shape == SHAPE
    lines = {"dimension": "4", "sizes": "1 6 5 4", "space_directions": "none (1,0,0) (0,1,0) (0,0,1)"}
    assert np.array_equal(read_volume(nrrd_text(tmp_path / "b.nrrd", **lines)).values, mask())


def test_rescaled_nifti(tmp_path, values):
    """CTs are stored unsigned with an intercept; forgetting it would move every threshold by 1024."""
    stored = (values + 1024).astype(np.uint16)
    volume = read_volume(nifti_with(tmp_path / "a.nii.gz", stored, scl_slope=1, scl_inter=-1024))
    assert np.array_equal(volume.values, values)
    assert volume.values.dtype == np.float32


def test_units_of_nifti(tmp_path):
    metres = nifti_with(tmp_path / "a.nii", xyzt_units=1, srow_x=[1e-3, 0, 0, 0], srow_y=[0, 1e-3, 0, 0],
                        srow_z=[0, 0, 1e-3, 0.5], pixdim=[1, 1e-3, 1e-3, 1e-3, 1, 1, 1, 1])  # fmt: skip
    assert np.allclose(read_volume(metres).affine, np.array(
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 500], [0, 0, 0, 1]]))  # fmt: skip


def test_gantry_tilt_is_kept(tmp_path):
    """The shear of a gantry tilted by 30 degrees is valid geometry."""
    affine = AFFINE.copy()
    affine[1, 2] = 1.5 * np.tan(np.deg2rad(30))
    assert np.allclose(read_volume(write_nifti(tmp_path / "a.nii", mask(), affine)).affine, affine, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "value"), [(np.uint8, 1), (np.uint8, 255), (np.int32, 1), (np.float32, 1), (np.float64, 255)]
)
def test_masks_of_any_one_value(tmp_path, dtype, value):
    volume = read_mask(write_nifti(tmp_path / "a.nii.gz", mask(dtype, value)))
    assert np.array_equal(volume.values, mask())
    assert volume.values.dtype == np.uint8
    assert np.array_equal(read_labels(tmp_path / "a.nii.gz").values, mask())


@pytest.mark.parametrize("error", [0, 9e-4, -9e-4])
def test_values_that_are_nearly_integers_are_rounded(tmp_path, error):
    """Masks remain masks after conversion to floats or scaling by a header's slope."""
    values = mask(np.float32) * np.float32(1 + error) - np.float32(3e-8)
    path = write_nifti(tmp_path / "a.nii", values)
    for volume in (read_mask(path), read_labels(path)):
        assert np.array_equal(volume.values, mask())
        assert volume.values.dtype == np.uint8
    labels = mask(np.float64)
    labels[4] = 2 + error
    path = write_nifti(tmp_path / "b.nii", labels)
    assert np.array_equal(read_labels(path).values, np.rint(labels))
    assert np.array_equal(skull_of(path, read_volume(path)).values, np.rint(labels))
    assert np.array_equal(skull_of(path, read_volume(tmp_path / "a.nii")).values, mask())
    with pytest.raises(InputError, match=r"values 0, 1\.002"):
        read_labels(write_nifti(tmp_path / "c.nii", mask(np.float32) * np.float32(1.002)))


def test_labels_are_told_from_hounsfield_units(tmp_path):
    """A label map with many labels is not a CT, and a CT without its intercept is not a label map."""
    levels = np.arange(120).reshape(SHAPE)
    for values, label_like, hounsfield in (
        (mask(), True, False),
        (mask(np.float32, 0.99999) - np.float32(3e-8), True, False),
        (mask(np.float32, 0.5), True, False),
        (levels % 9, True, False),
        (levels % 2 * 2035, True, False),
        (levels * 20 - 1000, False, True),
        (levels * 20 + 24, False, False),
        (levels % 9 - 1, False, False),
    ):
        volume = Volume(values, AFFINE)
        assert (is_label_like(volume), looks_like_ct(values)) == (label_like, hounsfield)


def test_labels(tmp_path):
    labels = mask(np.int16)
    labels[3] = 2
    volume = read_labels(write_nrrd(tmp_path / "a.nrrd", labels))
    assert np.array_equal(volume.values, labels)
    assert volume.values.dtype == np.uint8
    with pytest.raises(InputError, match="one positive value"):
        read_mask(tmp_path / "a.nrrd")


def test_empty_masks_are_no_error_here(tmp_path):
    """The quality check reports an empty skull; an empty implant may be intended."""
    path = write_nifti(tmp_path / "a.nii", np.zeros(SHAPE, np.uint8))
    assert not read_mask(path).values.any()
    assert not read_labels(path).values.any()


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.nrrd"])
def test_memory(tmp_path, name):
    """Peak memory is the mask, the data of the file and small pieces: CTs of 600 slices must fit."""
    values = np.zeros((160, 160, 160), np.int32)
    values[40:80] = 1
    path = (write_nrrd if name.endswith("nrrd") else write_nifti)(tmp_path / name, values)
    read_mask(write_nifti(tmp_path / "small.nii", mask()))  # imports
    tracemalloc.start()
    try:
        read_mask(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * values.nbytes
