"""Read NRRD files, .nrrd, and .nhdr with the voxels in a second file beside it."""

import bz2
import gzip
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from calvaria.errors import InputError
from calvaria.plugins.scan import Origin
from calvaria.sources.opening import data_file_beside, open_checked
from calvaria.sources.segments import segments_of
from calvaria.sources.voxels import Layout, Volume, check_affine, check_layout, read_values

# Signs that map a space's axes to right, anterior, superior.
_SPACES = {
    "right-anterior-superior": (1.0, 1.0, 1.0),
    "ras": (1.0, 1.0, 1.0),
    "left-anterior-superior": (-1.0, 1.0, 1.0),
    "las": (-1.0, 1.0, 1.0),
    "left-posterior-superior": (-1.0, -1.0, 1.0),
    "lps": (-1.0, -1.0, 1.0),
}
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_MAX_HEADER = 1 << 20  # bytes; a header is text of a few hundred


def read(path: Path) -> Volume:
    """Read one volume.

    Raises:
        InputError: as for `calvaria.sources.volumes.read_volume`.
    """
    with open_checked(path) as file:
        header = _header(path, file)
        name = header.get("data file", header.get("datafile"))
        if name is None:
            return _read(path, header, path, file)
        beside = data_file_beside(path, str(name))
        try:
            data = open_checked(beside)
        except InputError as error:
            raise InputError(f"{path}: its data file is not usable: {error}") from None
        with data:
            return _read(path, header, beside, data)


def _header(path: Path, file: IO[bytes]) -> dict[str, Any]:
    import nrrd
    from nrrd.errors import NRRDError

    lines = []
    # pynrrd would read a damaged file as text up to its end.
    for line in iter(lambda: file.readline(_MAX_HEADER), b""):
        lines.append(line)
        if not line.strip() or not line.endswith(b"\n"):
            break
    if not lines[0].startswith(b"NRRD000"):
        raise InputError(
            f"{path}: is not an NRRD file despite its extension; correct its name, or get the file again"
        )
    try:
        header = dict(nrrd.read_header([line.decode("latin-1") for line in lines]))
        missing = [key for key in ("type", "dimension", "sizes", "encoding") if key not in header]
    except (NRRDError, ValueError, IndexError, KeyError, OverflowError) as error:
        raise InputError(f"{path}: its NRRD header is damaged ({error}); repair it") from None
    if missing:
        raise InputError(f"{path}: its NRRD header lacks {', '.join(missing)}; repair it")
    return header


def _read(path: Path, header: dict[str, Any], data: Path, file: IO[bytes]) -> Volume:
    origin = Origin(meanings=segments_of(path, header))
    affine, kept = _affine(path, header)
    layout = _layout(path, header, kept)
    size = data.stat().st_size - (file.tell() if layout.start is not None else 0)
    check_layout(path, layout, size)
    try:
        if layout.encoding == "gzip":
            with gzip.open(file, "rb") as stream:
                return Volume(read_values(path, layout, stream), affine, origin)
        if layout.encoding == "bzip2":
            with bz2.open(file, "rb") as stream:
                return Volume(read_values(path, layout, stream), affine, origin)
        if layout.start is None:
            file.seek(size - int(np.prod(layout.shape)) * layout.dtype.itemsize)
        else:
            file.seek(layout.start, 1)
        return Volume(read_values(path, layout, file), affine, origin)
    except (EOFError, zlib.error, OSError) as error:
        raise InputError(f"{path}: is cut off or damaged ({error}); download or export it again") from None


def _layout(path: Path, header: dict[str, Any], kept: list[int]) -> Layout:
    """Return shape, type and encoding; ``kept`` are the axes that are in space."""
    encoding = _ENCODINGS.get(str(header["encoding"]).lower())
    skip = int(header.get("byte skip", header.get("byteskip", 0)))
    if encoding is None or header.get("line skip", header.get("lineskip", 0)) or skip < -1:
        raise InputError(
            f"{path}: is encoded as {header['encoding']} with skipped lines or bytes, or in text, "
            "expected raw, gzip or bzip2; export it as one of these"
        )
    if skip and encoding != "raw":
        raise InputError(f"{path}: skips {skip} bytes of compressed voxels, expected none; repair its header")
    kind = _TYPES.get(str(header["type"]).lower())
    order = {"little": "<", "big": ">"}.get(str(header.get("endian")).lower())
    if kind is None or (order is None and kind[1] != "1"):
        raise InputError(
            f"{path}: holds values of type {header['type']}, byte order {header.get('endian')}, expected "
            "integers or floats with a byte order; repair its header"
        )
    dtype = np.dtype((order or "") + kind)
    sizes = [int(n) for n in header["sizes"]]
    others = [sizes[axis] for axis in range(len(sizes)) if axis not in kept]
    shape = tuple(sizes[axis] for axis in kept) if all(n == 1 for n in others) else tuple(sizes)
    return Layout(shape, dtype, encoding, None if skip == -1 else skip)


def _affine(path: Path, header: dict[str, Any]) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Return the (4, 4) affine, and which of the file's axes are in space."""
    sizes = header["sizes"]
    if int(header["dimension"]) != len(sizes):
        raise InputError(f"{path}: has {len(sizes)} sizes for {header['dimension']} axes; repair its header")
    units = {str(unit).lower() for unit in header.get("space units", ())} - {"", "???"}
    if not units <= {"mm", "millimeter", "millimeters", "millimetre", "millimetres"}:
        raise InputError(
            f"{path}: its space is in {', '.join(sorted(units))}, expected mm; repair the header"
        )
    if header.get("space directions") is None:
        return _from_spacings(path, header)
    space = str(header.get("space", "none")).lower()
    if space not in _SPACES:
        raise InputError(
            f"{path}: its space is {space}, so left and right are undefined; expected "
            "left-posterior-superior, right-anterior-superior or left-anterior-superior; repair the header"
        )
    # Rows of axes outside space, such as colours, are none, which pynrrd converts to NaN.
    directions = np.array([np.full(3, np.nan) if row is None else row for row in header["space directions"]])
    origin = np.asarray(header.get("space origin", np.zeros(3)), np.float64)
    if directions.shape != (len(sizes), 3) or origin.shape != (3,):
        raise InputError(
            f"{path}: its space directions or origin do not fit {len(sizes)} axes in 3-D; repair its header"
        )
    kept = [axis for axis, row in enumerate(directions) if not np.isnan(row).all()]
    if len(kept) != 3:
        raise InputError(
            f"{path}: has {len(kept)} axes in space, of shape {sizes.tolist()}, expected a volume of three "
            "dimensions; split series and channels into separate files"
        )
    affine = np.eye(4)
    affine[:3, :3] = directions[kept].T
    affine[:3, 3] = origin
    affine[:3] *= np.array(_SPACES[space])[:, None]
    return check_affine(path, affine), kept


def _from_spacings(path: Path, header: dict[str, Any]) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Return affine and axes of a file without directions: RAS along its axes, if it has spacings."""
    spacings = np.asarray(header.get("spacings", ()), np.float64)[:3]
    if len(spacings) != 3 or header.get("space") is not None:
        raise InputError(
            f"{path}: its header has no space directions and no three spacings alone, so the positions of "
            "its voxels are undefined; export it with spacing and directions"
        )
    if not (np.isfinite(spacings) & (spacings > 0)).all():
        raise InputError(
            f"{path}: its header has spacing {spacings.tolist()}, expected positive ones; repair spacings"
        )
    return check_affine(path, np.diag([*spacings, 1.0])), [0, 1, 2]
