"""Read MetaImage files, .mha, and .mhd with the voxels in a second file beside it.

SimpleITK reads the header. The voxels are read here, since SimpleITK ignores their checksum.
"""

import zlib
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from calvaria.errors import InputError
from calvaria.sources.opening import data_file_beside, open_checked
from calvaria.sources.voxels import Layout, Volume, check_affine, check_layout, read_values

_MAX_HEADER = 1 << 16  # bytes; a header is text of a few hundred
_PIECE = 1 << 20  # bytes decompressed at once


def read(path: Path) -> Volume:
    """Read one volume.

    Raises:
        InputError: as for `calvaria.sources.volumes.read_volume`.
    """
    with open_checked(path) as file:
        fields = _fields(path, file)
        name = fields["elementdatafile"]
        if name.upper() == "LOCAL":
            return _read(path, fields, path, file)
        beside = data_file_beside(path, name)
        try:
            data = open_checked(beside)
        except InputError as error:
            raise InputError(f"{path}: its data file is not usable: {error}") from None
        with data:
            return _read(path, fields, beside, data)


def _fields(path: Path, file: IO[bytes]) -> dict[str, str]:
    """Return the header's fields by their names in lower case; leave the file positioned after it."""
    fields: dict[str, str] = {}
    while "elementdatafile" not in fields:
        line = file.readline(_MAX_HEADER).decode("latin-1")
        key, is_field, value = line.partition("=")
        if not is_field or file.tell() > _MAX_HEADER:
            raise InputError(
                f"{path}: is not a MetaImage file, its header does not end in ElementDataFile; correct its "
                "name, or get the file again"
            )
        fields[key.strip().lower()] = value.strip()
    return fields


def _read(path: Path, fields: dict[str, str], data: Path, file: IO[bytes]) -> Volume:
    shape, dtype, affine = _grid(path, fields)
    packed = fields.get("compresseddata", "").lower() in ("true", "1")
    if fields.get("binarydata", "true").lower() not in ("true", "1"):
        raise InputError(f"{path}: holds its voxels as text, expected binary ones; convert it")
    try:
        skip = int(fields.get("headersize", "0"))
    except ValueError:
        raise InputError(
            f"{path}: its HeaderSize is {fields['headersize']}, expected a number; repair it"
        ) from None
    begin = file.tell()
    size = data.stat().st_size - begin
    if skip > 0:
        begin += skip
    elif skip < 0 and not packed:
        begin += max(0, size - int(np.prod(shape, dtype=object)) * dtype.itemsize)
    layout = Layout(shape, dtype, "zlib" if packed else "raw")
    check_layout(path, layout, data.stat().st_size - begin)
    file.seek(begin)
    try:
        return Volume(
            read_values(path, layout, _Inflated(file) if packed else file), check_affine(path, affine)
        )
    except (EOFError, zlib.error, OSError) as error:
        raise InputError(f"{path}: is cut off or damaged ({error}); download or export it again") from None


def _grid(
    path: Path, fields: dict[str, str]
) -> tuple[tuple[int, ...], np.dtype[np.generic], npt.NDArray[np.float64]]:
    """Return shape, type and (4, 4) affine to RAS+ millimetres."""
    import SimpleITK as itk

    types = {
        **{itk.sitkInt8: "i1", itk.sitkInt16: "i2", itk.sitkInt32: "i4", itk.sitkInt64: "i8"},
        **{itk.sitkUInt8: "u1", itk.sitkUInt16: "u2", itk.sitkUInt32: "u4", itk.sitkUInt64: "u8"},
        **{itk.sitkFloat32: "f4", itk.sitkFloat64: "f8"},
    }
    reader = itk.ImageFileReader()
    reader.SetImageIO("MetaImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        shape, n = tuple(reader.GetSize()), reader.GetDimension()
        kind = types.get(reader.GetPixelIDValue())
        directions = np.reshape(reader.GetDirection(), (n, n)) * reader.GetSpacing()
        origin = np.array(reader.GetOrigin())
    except RuntimeError as error:
        why = str(error).splitlines()[-1]
        raise InputError(f"{path}: its MetaImage header is damaged ({why}); repair it") from None
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if kind is None or reader.GetNumberOfComponents() != 1:
        raise InputError(
            f"{path}: holds values of type {reader.GetPixelIDValue()} in {reader.GetNumberOfComponents()} "
            "channels, expected one integer or float for each voxel; convert it to integers"
        )
    unit = fields.get("distanceunits", "mm").lower()
    if unit not in ("mm", "?", ""):
        raise InputError(f"{path}: its spacing is in {unit}, expected mm; repair DistanceUnits")
    big = fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "false")).lower()
    dtype = np.dtype((">" if big in ("true", "1") else "<") + kind)
    affine = np.eye(4)
    if n >= 3:
        affine[:3] = np.diag([-1.0, -1.0, 1.0]) @ np.column_stack([directions[:3, :3], origin[:3]])
    return shape, dtype, affine


class _Inflated:
    """The decompressed content of a zlib stream, including the check of its checksum."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._packed = zlib.decompressobj()

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end.

        Raises:
            EOFError: if the stream ends early.
            zlib.error: if it is damaged.
        """
        while not self._packed.eof:
            piece = self._packed.unconsumed_tail or self._file.read(_PIECE)
            if not piece:
                raise EOFError("the compressed voxels end early")
            if content := self._packed.decompress(piece, size):
                return content
        return b""
