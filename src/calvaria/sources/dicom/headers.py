"""Headers of DICOM files, read up to the pixels."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from calvaria.errors import InputError
from calvaria.sources.listing import is_note
from calvaria.sources.opening import open_checked

if TYPE_CHECKING:
    from pydicom import Dataset

_CT = "1.2.840.10008.5.1.4.1.1.2"
_CT_CLASSES = (_CT, f"{_CT}.1", f"{_CT}.2")  # slices; enhanced; legacy converted enhanced
_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # of floats, of doubles, of integers
_ENDINGS = (".dcm", ".ima", ".dicom")


@dataclass(frozen=True)
class Plane:
    """One slice: a file, or a frame of an enhanced image."""

    path: Path
    frame: int  # from 0
    instance: str  # SOP instance UID
    patient: str
    study: str
    frame_of_reference: str
    series: str  # series UID
    number: str  # series number
    description: str
    part: str  # body part examined
    kernel: str
    acquisition: str
    derived: bool
    thickness_mm: float
    position: npt.NDArray[np.float64]  # (3,) mm LPS of the first pixel
    directions: npt.NDArray[np.float64]  # (2, 3) of a row and of a column
    spacing: tuple[float, float]  # mm along a row, along a column
    size: tuple[int, int]  # pixels in a row, in a column
    slope: float
    intercept: float

    @cached_property
    def height(self) -> float:
        """Position along the normal in mm."""
        return float(np.cross(*self.directions) @ self.position)


@dataclass(frozen=True)
class Header:
    """One file."""

    path: Path
    modality: str  # empty without an image
    captured: bool = False  # a secondary capture, such as a page of text
    planes: tuple[Plane, ...] = ()  # of a CT
    reason: str = ""  # why it has no planes


def is_dicom(path: Path) -> bool:
    """Return whether a file begins like DICOM; files that cannot be opened do not."""
    try:
        return not is_note(path) and begins_like_dicom(path)
    except InputError:
        return False


def begins_like_dicom(path: Path) -> bool:
    """Return whether a file begins like DICOM, with or without a preamble.

    Raises:
        InputError: if it cannot be opened, or if only its name is that of a DICOM file.
    """
    with open_checked(path) as file:
        start = file.read(132)
    is_dicom = start[128:] == b"DICM" or _begins_with_group(start)
    if not is_dicom and path.suffix.lower() in _ENDINGS:
        raise InputError(
            f"{path}: is not a DICOM file although its name ends in {path.suffix}; remove it, or export "
            "the series again if it was a slice"
        )
    return is_dicom


def _begins_with_group(start: bytes) -> bool:
    """Return whether group 0002 or 0008 follows at once, as old PACS wrote it: tag, then VR or length."""
    if start[:2] not in (b"\x02\0", b"\x08\0") or len(start) < 8:
        return False
    explicit = start[4:6] in (b"UL", b"UI", b"CS", b"DA", b"TM", b"SH", b"OB")
    return explicit or (start[3] == 0 and int.from_bytes(start[4:8], "little") <= 64)


def is_enhanced(path: Path) -> bool:
    """Return whether a DICOM file is a whole volume by its SOP class."""
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_file_meta_info

    try:
        with quiet():
            sop_class = read_file_meta_info(path).get("MediaStorageSOPClassUID")
    except (InvalidDicomError, OSError, ValueError):
        return False
    return sop_class in _CT_CLASSES[1:]


def read_header(path: Path) -> Header:
    """Read a file up to its pixels.

    Raises:
        InputError: if it cannot be opened, is damaged, or is a CT that ends before its pixels.
    """
    from pydicom.filereader import read_partial

    pixels = []

    def at_pixels(tag: Any, vr: str | None, length: int) -> bool:
        if tag in _PIXELS:
            pixels.append(length)
        return tag in _PIXELS

    with open_checked(path) as file, quiet():
        try:
            dataset = read_partial(file, stop_when=at_pixels, force=True, specific_tags=_tags())
            return _header(path, dataset, bool(pixels))
        except InputError:
            raise
        except Exception as error:  # damaged bytes can cause any exception in pydicom
            raise InputError(
                f"{path}: cannot be read as DICOM, it is cut off or damaged ({error}); copy it again, or "
                "remove it"
            ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress pydicom's warnings about malformed values; relevant ones are checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _tags() -> list[Any]:
    from pydicom.datadict import tag_for_keyword

    keywords = (
        "ImageType SOPClassUID SOPInstanceUID Modality SeriesDescription PatientID BodyPartExamined "
        "SliceThickness ProtocolName ConvolutionKernel StudyInstanceUID SeriesInstanceUID SeriesNumber "
        "AcquisitionNumber ImagePositionPatient ImageOrientationPatient FrameOfReferenceUID SamplesPerPixel "
        "PhotometricInterpretation NumberOfFrames Rows Columns PixelSpacing RescaleIntercept RescaleSlope "
        "SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence"
    )
    return [tag_for_keyword(keyword) for keyword in keywords.split()]


def _header(path: Path, dataset: "Dataset", pixels: bool) -> Header:
    from pydicom.uid import UID

    meta = dataset.file_meta
    kind = _text(dataset, "SOPClassUID") or _text(meta, "MediaStorageSOPClassUID")
    if not pixels or not dataset.get("Rows"):
        if kind in _CT_CLASSES or not kind:
            raise InputError(f"{path}: is cut off before its pixels; copy it again")
        return Header(path, "", reason=f"no image: {UID(kind).name.removesuffix(' Storage')}")
    modality = _text(dataset, "Modality") or ("CT" if kind in _CT_CLASSES else "unknown")
    captured = kind.startswith(_CAPTURES)
    if modality != "CT":
        return Header(path, modality, captured, reason=f"modality {modality}")
    if dataset.get("SamplesPerPixel", 1) != 1 or "PALETTE" in _text(dataset, "PhotometricInterpretation"):
        return Header(path, modality, captured, reason="secondary capture" if captured else "colours")
    frames = list(_frames(path, dataset))
    planes = tuple(
        plane
        for n, frame in enumerate(frames)
        if not _is_localizer(frame) and (plane := _plane(path, n, frame)) is not None
    )
    if planes:
        return Header(path, modality, captured, planes)
    if any(_is_localizer(frame) for frame in frames):
        return Header(path, modality, captured, reason="localizer")
    lacking = "without a valid position, orientation and pixel spacing"
    return Header(path, modality, captured, reason=f"secondary capture {lacking}" if captured else lacking)


def _frames(path: Path, dataset: "Dataset") -> Iterator["Dataset"]:
    """Yield a flat header for each frame: the file's, updated by the functional groups of the frame."""
    from pydicom import Dataset

    count = int(dataset.get("NumberOfFrames") or 1)
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    if not per_frame:
        if count == 1:
            yield dataset
        return
    if len(per_frame) != count:
        raise InputError(
            f"{path}: has {count} frames, but positions of {len(per_frame)}; it is damaged, export it again"
        )
    shared = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    for groups in per_frame:
        frame = Dataset()
        frame.update({element.tag: element for element in dataset if element.VR != "SQ"})
        for sequence in (*shared[0], *groups):
            if sequence.VR == "SQ" and sequence.value:
                frame.update(sequence.value[0])
        yield frame


def _image_type(frame: "Dataset") -> str:
    return f"{_text(frame, 'ImageType')}\\{_text(frame, 'FrameType')}".upper()


def _is_localizer(frame: "Dataset") -> bool:
    return "LOCALIZER" in _image_type(frame)


def _plane(path: Path, number: int, frame: "Dataset") -> Plane | None:
    """Return a frame as a plane; None if its position is missing or invalid."""
    position = _numbers(frame, "ImagePositionPatient", 3)
    directions = _numbers(frame, "ImageOrientationPatient", 6)
    spacing = _numbers(frame, "PixelSpacing", 2)
    if position is None or directions is None or spacing is None or spacing.min() <= 0:
        return None
    rows = directions.reshape(2, 3)
    if not np.allclose(rows @ rows.T, np.eye(2), atol=1e-2):
        return None
    slope, intercept = _numbers(frame, "RescaleSlope", 1), _numbers(frame, "RescaleIntercept", 1)
    thickness = _numbers(frame, "SliceThickness", 1)
    acquisition = _text(frame, "AcquisitionNumber") or _text(frame, "FrameAcquisitionNumber")
    return Plane(
        path=path,
        frame=number,
        instance=_text(frame, "SOPInstanceUID"),
        patient=_text(frame, "PatientID"),
        study=_text(frame, "StudyInstanceUID"),
        frame_of_reference=_text(frame, "FrameOfReferenceUID"),
        series=_text(frame, "SeriesInstanceUID"),
        number=_text(frame, "SeriesNumber"),
        description=_text(frame, "SeriesDescription"),
        part=_text(frame, "BodyPartExamined"),
        kernel=_text(frame, "ConvolutionKernel").split("\\")[0],
        acquisition=acquisition,
        derived="DERIVED" in _image_type(frame),
        thickness_mm=float(thickness[0]) if thickness is not None else 0.0,
        position=position,
        directions=rows,
        spacing=(float(spacing[1]), float(spacing[0])),
        size=(int(frame.Columns), int(frame.Rows)),
        slope=float(slope[0]) if slope is not None else 1.0,
        intercept=float(intercept[0]) if intercept is not None else 0.0,
    )


def _text(dataset: "Dataset", keyword: str) -> str:
    """Return a value as text; several are joined by backslashes."""
    from pydicom.multival import MultiValue

    value = dataset.get(keyword)
    parts = value if isinstance(value, MultiValue) else [value]
    return "\\".join(str(part).strip(" \0") for part in parts if part is not None)


def _numbers(dataset: "Dataset", keyword: str, count: int) -> npt.NDArray[np.float64] | None:
    """Return (count,) finite numbers; None if the value is anything else."""
    try:
        numbers = np.array(dataset.get(keyword), dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None
