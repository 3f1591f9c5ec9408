"""A DICOM series gives Hounsfield units at the positions of its slices, or an error."""

import numpy as np
import pytest

from calvaria.errors import InputError
from calvaria.sources.dicom import read_series
from tests.unit.builders import ramp, write_series, write_slice

LPS = np.diag([-1.0, -1, 1, 1])


def test_values_are_rescaled_and_in_order(tmp_path):
    """Guards axis order, row and column spacing, and the rescale intercept."""
    values = ramp()
    write_series(tmp_path, values + 1024, intercept="-1024")
    volume = read_series(tmp_path)
    assert np.array_equal(volume.values, values)
    assert volume.values.dtype == np.int16
    assert np.allclose(volume.affine, LPS @ np.diag([0.9, 0.8, 1.5, 1]))


def test_file_names_and_notes_do_not_matter(tmp_path):
    """Slices are ordered by position; non-DICOM files are ignored."""
    paths = write_series(tmp_path, ramp())
    for path, name in zip(paths, ["5", "zz", "b.ima", "IM0001", "0.dcm", "a.dcm"], strict=True):
        path.rename(tmp_path / name)
    (tmp_path / "README").write_text("from the scanner")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM and no image")
    (tmp_path / "thumbnail.png").write_bytes(b"\x89PNG")
    volume = read_series(tmp_path)
    assert np.array_equal(volume.values, ramp())
    assert {one.file: one.reason for one in volume.origin.left_out} == {
        "DICOMDIR": "directory of a medium",
        "thumbnail.png": "not DICOM",
    }


def test_slices_from_top_to_bottom_and_oblique(tmp_path):
    """The affine follows positions: rotated slices numbered from the top stay right-handed and in place."""
    turn = np.deg2rad(20)
    row, column = np.array([1.0, 0, 0]), np.array([0, np.cos(turn), np.sin(turn)])
    normal = np.cross(row, column)
    orientation = "\\".join(f"{part:.8f}" for part in (*row, *column))
    write_series(tmp_path, ramp(), step=tuple(-1.5 * normal), orientation=orientation)
    volume = read_series(tmp_path)
    assert np.array_equal(volume.values, ramp()[:, :, ::-1])
    expected = LPS[:3, :3] @ np.column_stack([0.9 * row, 0.8 * column, 1.5 * normal])
    assert np.allclose(volume.affine[:3, :3], expected, atol=1e-4)
    assert np.allclose((volume.affine @ (0, 0, 5, 1))[:3], 0, atol=1e-3)


def test_a_tilted_gantry_gives_the_sheared_affine(tmp_path):
    """Ignoring the in-plane shift of the slices would shear the skull."""
    step = (0.0, 1.5 * np.tan(np.deg2rad(25)), 1.5)
    write_series(tmp_path, ramp(), step=step)
    affine = read_series(tmp_path).affine
    assert np.allclose(affine[:3, 2], (0, -step[1], 1.5), atol=1e-3)


def test_slices_with_their_own_rescale(tmp_path):
    """Slope and intercept belong to a slice, not the series; values too large for int16 become float32."""
    for k in range(5):
        tags = {"position": f"0\\0\\{1.5 * k}", "slope": f"{1 + k}", "intercept": f"{-k}"}
        write_slice(tmp_path / f"{k}.dcm", np.full((5, 7), 60, np.int16), **tags)
    volume = read_series(tmp_path)
    assert volume.values[0, 0].tolist() == [60, 119, 178, 237, 296]
    assert volume.values.dtype == np.int16
    write_slice(tmp_path / "4.dcm", np.full((5, 7), 40000, np.int32), position="0\\0\\6")
    volume = read_series(tmp_path)
    assert volume.values[0, 0].tolist() == [60, 119, 178, 237, 40000]
    assert volume.values.dtype == np.float32


def test_rounded_positions_are_uniform_enough(tmp_path):
    """Scanners round positions; 1.25 mm written with one digit is 1.2 and 1.3."""
    for k in range(6):
        write_slice(
            tmp_path / f"{k}.dcm", np.full((5, 7), k, np.int16), position=f"0\\0\\{1.25 * k + 1e-6:.1f}"
        )
    assert read_series(tmp_path).affine[2, 2] == pytest.approx(1.25, abs=0.02)


def test_an_unreadable_slice_is_not_skipped(tmp_path):
    """A missing slice at an end leaves no gap, so an unreadable slice must be an error."""
    last = write_series(tmp_path, ramp())[-1]
    for content in (b"", b"cut", last.read_bytes()[:400], last.read_bytes()[:-20]):
        last.write_bytes(content)
        with pytest.raises(InputError, match=r"005\.dcm"):
            read_series(tmp_path)
