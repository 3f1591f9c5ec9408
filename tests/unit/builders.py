"""Builders of small volumes, series and heads for the tests of sources."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (6, 5, 4)
AFFINE = np.array([[0.9, 0, 0, -12], [0, 0.8, 0, 7], [0, 0, 1.5, 40], [0, 0, 0, 1.0]])


def mask(dtype: Any = np.uint8, value: float = 1) -> np.ndarray:
    """Return a (6, 5, 4) volume with a box of one value."""
    values = np.zeros(SHAPE, dtype)
    values[1:4, 1:3, 1:3] = value
    return values


def write_nifti(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def nifti_with(
    path: Path, values: np.ndarray | None = None, data: bytes | None = None, **fields: Any
) -> Path:
    """Write a NIfTI file with the given header fields, valid or not."""
    import nibabel

    values = mask() if values is None else values
    header = nibabel.Nifti1Header()
    header.set_data_shape(values.shape)
    header.set_data_dtype(values.dtype)
    header.set_sform(AFFINE, 1)
    header.set_zooms((0.9, 0.8, 1.5, 1.0)[: values.ndim])
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    for name, value in fields.items():
        header[name] = value
    content = header.binaryblock + bytes(4) + (values.tobytes("F") if data is None else data)
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


def write_nrrd(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE, **fields: Any) -> Path:
    """Write an LPS NRRD file from a RAS affine, with fields changed, or dropped (None)."""
    import nrrd

    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    header: dict[str, Any] = {
        "space": "left-posterior-superior",
        "space directions": lps[:3, :3].T,
        "space origin": lps[:3, 3],
        "encoding": "gzip",
    }
    header.update({key.replace("_", " "): value for key, value in fields.items()})
    nrrd.write(str(path), values, {key: value for key, value in header.items() if value is not None})
    return path


def nrrd_text(path: Path, data: bytes | None = None, **lines: str | None) -> Path:
    """Write a raw uint8 NRRD file, with header lines replaced, or dropped (None)."""
    header: dict[str, str | None] = {
        "type": "uint8",
        "dimension": "3",
        "space": "right-anterior-superior",
        "sizes": "6 5 4",
        "space directions": "(1,0,0) (0,1,0) (0,0,1)",
        "space origin": "(0,0,0)",
        "encoding": "raw",
    }
    header.update({key.replace("_", " "): value for key, value in lines.items()})
    text = "NRRD0005\n" + "".join(f"{key}: {value}\n" for key, value in header.items() if value is not None)
    path.write_bytes(text.encode() + b"\n" + (mask().tobytes("F") if data is None else data))
    return path


def write_slice(
    path: Path, pixels: np.ndarray, spacing: tuple[float, float] = (0.9, 0.8), **tags: Any
) -> Path:
    """Write a CT slice.

    Args:
        pixels: (j, i) stored values, or (j, i, 3) colours.
        spacing: mm along a row, along a column.
        tags: by DICOM keyword, or by name: position, orientation, series, modality, slope, intercept, kind,
            instance, study; None leaves one out.
    """
    from pydicom import Dataset
    from pydicom.uid import ExplicitVRLittleEndian

    short = {
        "kind": ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2"),
        "instance": ("SOPInstanceUID", "1.2.3.4.5"),
        "study": ("StudyInstanceUID", "1.2.3"),
        "series": ("SeriesInstanceUID", "1.2.3.4"),
        "modality": ("Modality", "CT"),
        "position": ("ImagePositionPatient", "0\\0\\0"),
        "orientation": ("ImageOrientationPatient", "1\\0\\0\\0\\1\\0"),
        "slope": ("RescaleSlope", "1"),
        "intercept": ("RescaleIntercept", "0"),
    }
    bits = pixels.dtype.itemsize * 8
    values: dict[str, Any] = dict(short.values())
    values |= {
        "PixelSpacing": [spacing[1], spacing[0]],
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1 if pixels.ndim == 2 else 3,
        "PhotometricInterpretation": "MONOCHROME2" if pixels.ndim == 2 else "RGB",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes() + bytes(pixels.nbytes % 2),
    }
    values |= {short[name][0] if name in short else name: value for name, value in tags.items()}
    dataset = Dataset()
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OW"
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_series(
    folder: Path,
    values: np.ndarray,
    step: tuple[float, float, float] = (0, 0, 1.5),
    prefix: str = "",
    spacing: tuple[float, float] = (0.9, 0.8),
    **tags: Any,
) -> list[Path]:
    """Write a series of (i, j, k) values with a slice step in mm LPS; files are named by number."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k in range(values.shape[2]):
        position = "\\".join(f"{part * k:.4f}" for part in step)
        path = folder / f"{prefix}{k:03d}.dcm"
        own = {"position": position, "instance": f"1.2.3.4.{k + 1}", **tags}
        paths.append(write_slice(path, np.ascontiguousarray(values[:, :, k].T), spacing, **own))
    return paths


def ramp(slices: int = 6) -> np.ndarray:
    """Return (7, 5, slices) distinct int16 values from -1000 upwards."""
    return (np.arange(35 * slices, dtype=np.int16) - 1000).reshape(7, 5, slices)


def head_ct(
    spacing: float = 3.0, *, tissue: bool = True, holder_mm: float = 112
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a head in a holder: (i, j, k) int16 HU, (4, 4) affine, and (i, j, k) bool of the true bone.

    Skull and lower jaw are separate. A thin curved holder of 500 HU is behind the head, whose skin touches
    the cushion; a sandbag is on the table, and a small calcification in the brain.
    """
    n = [round(mm / spacing) for mm in (240, 260, 210)]
    x, y, z = np.meshgrid(*((np.arange(m) - m / 2) * spacing for m in n), indexing="ij")

    def ball(a: float, b: float, c: float, at: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
        return ((x - at[0]) / a) ** 2 + ((y - at[1]) / b) ** 2 + ((z - at[2]) / c) ** 2 <= 1

    values = np.full(n, -1000, np.int16)
    bone = ball(72, 88, 85) & ~ball(64, 80, 77) & (z > -50)
    jaw = ball(40, 12, 12, (0, 60, -75))
    if tissue:
        values[ball(80, 96, 93) | ball(55, 30, 25, (0, 55, -75)) | ((np.hypot(x, y) < 55) & (z < 0))] = 40
        values[ball(14, 20, 6, (0, 70, -50))] = -1000  # a nasal cavity
    values[(np.abs(y + 98) < 4) & (np.abs(x) < 50)] = -200  # the cushion's cover
    holder = (np.abs(np.hypot(x, y) - holder_mm) < spacing / 2 + 0.5) & (y < -20)
    values[holder] = 500
    values[ball(15, 12, 40, (95, 60, -50))] = 700
    values[bone | jaw] = 1000
    values[ball(3, 3, 3)] = 800
    affine = np.diag([spacing, spacing, spacing, 1.0])
    return values, affine, bone | jaw
