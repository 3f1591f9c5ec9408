"""Writers of rare kinds of DICOM files."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.builders import write_slice

HANGING_PROTOCOL = "1.2.840.10008.5.1.4.38.1"
RAW_DATA = "1.2.840.10008.5.1.4.1.1.66"
REGISTRATION = "1.2.840.10008.5.1.4.1.1.66.1"
SURFACE = "1.2.840.10008.5.1.4.1.1.66.5"
ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"
REPORT = "1.2.840.10008.5.1.4.1.1.88.67"
SIEMENS_CSA = "1.3.12.2.1107.5.9.1"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"

JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"


def write_object(path: Path, kind: str, modality: str = "OT") -> Path:
    """Write a complete DICOM file of a SOP class without an image."""
    from pydicom import Dataset
    from pydicom.uid import ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, "1.2.3.99"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.98"
    dataset.Modality = modality
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path


def change(path: Path, **tags: Any) -> None:
    """Set values of a DICOM file by keyword."""
    from pydicom import dcmread

    dataset = dcmread(path)
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)


def strip_preamble(path: Path, *, implicit: bool) -> None:
    """Rewrite a file so that it begins with group 0008, without preamble, "DICM" and meta information."""
    from pydicom import Dataset, dcmread

    bare = Dataset({element.tag: element for element in dcmread(path)})
    with path.open("wb") as file:
        bare.save_as(file, implicit_vr=implicit, little_endian=True, enforce_file_format=False)


def compress(path: Path, syntax: str) -> None:
    """Transcode the pixels of a file."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    changer = gdcm.ImageChangeTransferSyntax()
    changer.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    changer.SetInput(reader.GetImage())
    assert changer.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(changer.GetOutput())
    assert writer.Write()


def write_enhanced(
    path: Path, values: np.ndarray, order: list[int], step: tuple[float, float, float] = (0, 0, 1.5)
) -> Path:
    """Write an enhanced CT of (i, j, k) Hounsfield units, frames in any order, with a rescale per frame."""
    from pydicom import Dataset, Sequence, dcmread

    def item(**tags: Any) -> Sequence:
        dataset = Dataset()
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
        return Sequence([dataset])

    frames = []
    stored = []
    for k in order:
        frame = Dataset()
        frame.PlanePositionSequence = item(ImagePositionPatient=[part * k for part in step])
        frame.PixelValueTransformationSequence = item(RescaleSlope=1, RescaleIntercept=-k, RescaleType="HU")
        frames.append(frame)
        stored.append(values[:, :, k].T + k)
    shared = Dataset()
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelMeasuresSequence = item(PixelSpacing=[0.8, 0.9], SliceThickness=1.5)
    shared.CTReconstructionSequence = item(ConvolutionKernel="H60s")
    path.parent.mkdir(exist_ok=True)
    none = {"position": None, "orientation": None, "slope": None, "intercept": None, "PixelSpacing": None}
    write_slice(path, np.ascontiguousarray(stored[0]), kind=ENHANCED_CT, **none)
    dataset = dcmread(path)
    dataset.NumberOfFrames = len(order)
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.PixelData = np.stack(stored).astype(np.int16).tobytes()
    dataset.save_as(path)
    return path
