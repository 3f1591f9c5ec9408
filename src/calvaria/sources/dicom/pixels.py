"""Decode slices to Hounsfield units."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from calvaria.errors import InputError
from calvaria.sources.dicom.headers import Plane, quiet
from calvaria.sources.opening import open_checked

if TYPE_CHECKING:
    from pydicom import Dataset

_AIR_HU = -1000
_SOME_AIR_HU = -500  # lower values indicate air, and thus Hounsfield units


def read_pixels(planes: Sequence[Plane]) -> npt.NDArray[Any]:
    """Return (k, j, i) Hounsfield units of planes of one size, int16, or float32 if one of them does not fit.

    Raises:
        InputError: if a file is cut off, or its pixels cannot be decoded.
    """
    frames_of: dict[Path, dict[int, int]] = {}
    for k, plane in enumerate(planes):
        frames_of.setdefault(plane.path, {})[plane.frame] = k
    columns, rows = planes[0].size
    values: npt.NDArray[Any] = np.empty((len(planes), rows, columns), np.int16)
    for path, frames in frames_of.items():
        missing = set(frames)
        for frame, (stored, dataset) in enumerate(_decoded(path)):
            if frame not in frames:
                continue
            k = frames[frame]
            plane_values = hounsfield(stored, dataset, planes[k].slope, planes[k].intercept)
            if plane_values.dtype != values.dtype:
                values = values.astype(np.float32, copy=False)
            values[k] = plane_values
            missing.remove(frame)
        if missing:
            raise InputError(
                f"{path}: lacks the pixels of {len(missing)} frames, it is cut off; copy it again"
            )
    return values


def hounsfield(
    stored: npt.NDArray[Any], dataset: "Dataset", slope: float, intercept: float
) -> npt.NDArray[Any]:
    """Return (j, i) Hounsfield units, int16 where they are whole and fit, else float32.

    Photometric interpretation concerns display only and is ignored. Padding becomes air or, in a slice
    without air, the minimum inside, so that a missing intercept remains detectable.

    Args:
        stored: (j, i) integers as decoded, in ``BitsAllocated`` bits.
        dataset: with the attributes of the pixels.
    """
    padding = _padding(stored, dataset)
    values = _without_unused_bits(stored, dataset).astype(np.int64 if stored.itemsize > 2 else np.int32)
    if slope == round(slope) and intercept == round(intercept) and abs(slope * intercept) < 2**14:
        scaled: npt.NDArray[Any] = values * int(slope) + int(intercept)
    else:
        scaled = values.astype(np.float64) * slope + intercept
    if padding is not None:
        inside = scaled[~padding]
        least = inside.min() if inside.size else _AIR_HU
        scaled[padding] = _AIR_HU if least < _SOME_AIR_HU else least
    if np.abs(scaled).max() < 2**15:
        whole = scaled.astype(np.int16)
        if scaled.dtype.kind == "i" or np.array_equal(whole, scaled):
            return whole
    return scaled.astype(np.float32)


def resample(values: npt.NDArray[Any], places: npt.NDArray[np.float64] | None) -> npt.NDArray[Any]:
    """Return (k, j, i) slices at ``places`` among these, linear between two; None leaves them unchanged."""
    if places is None:
        return values
    out = np.empty((len(places), *values.shape[1:]), values.dtype)
    for target, place in zip(out, places, strict=True):
        below = min(int(place), len(values) - 2)
        part = np.float32(place - below)
        mixed = values[below] * (1 - part) + values[below + 1] * part
        target[:] = np.rint(mixed) if values.dtype.kind == "i" else mixed
    return out


def _decoded(path: Path) -> Iterator[tuple[npt.NDArray[Any], "Dataset"]]:
    """Yield the stored values of each frame, and the header."""
    from pydicom import dcmread
    from pydicom.pixels import iter_pixels
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    with open_checked(path) as file, quiet():
        try:
            dataset = dcmread(file, force=True)
            if "TransferSyntaxUID" not in dataset.file_meta:  # the file has no preamble
                implicit, little = dataset.original_encoding
                explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
                dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
            # Unused bits are kept for now, as the padding value may use them.
            for stored in iter_pixels(dataset, raw=True, correct_unused_bits=False):
                yield stored, dataset
        except Exception as error:  # damaged bytes can cause any exception in pydicom and its decoders
            why = (str(error) or type(error).__name__).splitlines()[-1].split(" - ")[0].strip()
            raise InputError(
                f"{path}: its pixels cannot be decoded ({why}); copy it again, or if all of the series are "
                "like that, convert it to NIfTI (dcm2niix)"
            ) from error


def _padding(stored: npt.NDArray[Any], dataset: "Dataset") -> npt.NDArray[np.bool_] | None:
    """Return (j, i) bool: pixels outside of the reconstruction; None if there are none."""
    first = dataset.get("PixelPaddingValue")
    if not isinstance(first, int):
        return None
    last = dataset.get("PixelPaddingRangeLimit")
    # -2000 may be written as 63536, and the other way round.
    limits = np.array([first, last if isinstance(last, int) else first], np.int64).astype(stored.dtype)
    is_padding = (stored >= limits.min()) & (stored <= limits.max())
    return is_padding if is_padding.any() else None


def _without_unused_bits(stored: npt.NDArray[Any], dataset: "Dataset") -> npt.NDArray[Any]:
    """Return values without the bits above ``BitsStored``, which were once used for overlays."""
    unused = stored.itemsize * 8 - int(dataset.get("BitsStored") or stored.itemsize * 8)
    return (stored << unused) >> unused if unused > 0 else stored
