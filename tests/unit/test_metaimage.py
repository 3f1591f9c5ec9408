"""MetaImage files give the same voxels and geometry as ITK, and damaged ones are rejected."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from calvaria.errors import InputError
from calvaria.sources.ct import CtSource
from calvaria.sources.folder import FolderSource
from calvaria.sources.volumes import read_mask, read_volume
from tests.unit.builders import head_ct, mask

FLIP = np.diag([-1.0, -1.0, 1.0])


def write(path: Path, values: np.ndarray, affine: np.ndarray | None = None, compress: bool = True) -> Path:
    affine = np.eye(4) if affine is None else affine
    image = SimpleITK.GetImageFromArray(values.transpose(2, 1, 0))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((FLIP @ affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin((FLIP @ affine[:3, 3]).tolist())
    SimpleITK.WriteImage(image, str(path), compress)
    return path


def noise(dtype: type = np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 120, (13, 11, 9)).astype(dtype)


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "A.MHA"])
@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_voxels_and_places_are_itk_s(tmp_path, name, compress, dtype):
    """All data types are read, from one file or two."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (10, -20, 30), degrees=True).as_matrix() * (0.5, 0.7, 1.2)
    affine[:3, 3] = (-80, 12, 30)
    path = tmp_path / name
    write(tmp_path / name.lower(), noise(dtype), affine, compress).rename(path)
    found = read_volume(path)
    assert np.array_equal(found.values, noise(dtype))
    assert found.values.dtype == dtype
    assert found.affine == pytest.approx(affine)


def test_big_endian_and_headers_before_the_voxels(tmp_path):
    """Such files are written by workstations; -1 means that the voxels are at the end of the file."""
    text = (
        "ObjectType = Image\nNDims = 3\nDimSize = 13 11 9\nElementSpacing = 1 1 2\nElementType = MET_SHORT\n"
    )
    text += "BinaryData = True\nBinaryDataByteOrderMSB = True\nHeaderSize = {}\nElementDataFile = a.raw\n"
    (tmp_path / "a.raw").write_bytes(b"a header" + noise(np.dtype(">i2")).tobytes("F"))
    for size in (8, -1):
        (tmp_path / "a.mhd").write_text(text.format(size))
        found = read_volume(tmp_path / "a.mhd")
        assert np.array_equal(found.values, noise())
        assert found.affine == pytest.approx(np.diag([-1, -1, 2, 1]))


def damaged(content: bytes) -> dict[str, bytes]:
    """Return a compressed .mha file, damaged in several ways."""
    flipped = bytearray(content)
    flipped[int(0.8 * len(content))] ^= 0x55
    return {
        "cut": content[: int(0.8 * len(content))],
        "checksum cut": content[:-2],
        "wrong byte": bytes(flipped),
        "larger than it is": content.replace(b"DimSize = 13 11 9", b"DimSize = 13 11 10"),
        "smaller than it is": content.replace(b"DimSize = 13 11 9", b"DimSize = 13 11 8"),
        "terabytes": content.replace(b"DimSize = 13 11 9", b"DimSize = 65000 65000 300"),
        "not one": b"<html>" * 99,
        "text": content.replace(b"BinaryData = True", b"BinaryData = False"),
        "two dimensions": content.replace(b"NDims = 3", b"NDims = 2"),
        "colours": content.replace(b"ElementType", b"ElementNumberOfChannels = 3\nElementType"),
        "metres": content.replace(b"ElementType", b"DistanceUnits = m\nElementType"),
        "outside": content.replace(b"= LOCAL", b"= ../secret.raw"),
        "absolute": content.replace(b"= LOCAL", b"= /etc/passwd"),
        "list": content.replace(b"= LOCAL", b"= LIST"),
        "absent": content.replace(b"= LOCAL", b"= b.raw"),
    }


@pytest.mark.parametrize("what", damaged(b"x"))
def test_damaged_files_are_refused(tmp_path, what):
    """ITK accepts some of them, as it does not verify the checksum of a compressed file."""
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.raw").write_bytes(bytes(4000))
    path = write(tmp_path / "in" / "a.mha", noise())
    path.write_bytes(damaged(path.read_bytes())[what])
    with pytest.raises(InputError, match=r"a\.mha: .*;") as caught:
        read_volume(path)
    length_or_checksum = ("cut", "checksum cut", "wrong byte", "larger than it is", "smaller than it is")
    assert ("export it again" in str(caught.value)) == (what in length_or_checksum)


def test_sources_take_them_and_not_their_data(tmp_path):
    """The data file of a detached header is not a separate skull."""
    write(tmp_path / "a.b.mhd", mask(), compress=False)
    write(tmp_path / "c.mha", mask())
    found = FolderSource(kind="folder", path=tmp_path).entries("own")
    assert [(entry.own_id, entry.fault) for entry in found] == [("a.b", None), ("c", None)]
    assert all(np.array_equal(read_mask(entry.files[0]).values, mask()) for entry in found)
    values, affine, bone = head_ct(6.0)
    (tmp_path / "head").mkdir()
    write(tmp_path / "head" / "ct.mha", values, affine)
    source = CtSource(kind="ct", path=tmp_path / "head")
    (entry,) = source.entries("clinic")
    scan = source.read(entry, 0)
    assert np.array_equal(scan.labels, bone)
    assert scan.summary is not None
    assert scan.summary.kind == "CT"
