"""The scans that a command designs implants for, each with the name of its case."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calvaria.errors import InputError
from calvaria.sources.dicom import holds_dicom, is_dicom, is_enhanced
from calvaria.sources.dicom.headers import quiet
from calvaria.sources.listing import identify, is_note, own_id
from calvaria.sources.opening import reason
from calvaria.sources.volumes import VOLUMES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Input:
    """One scan of several."""

    case: str  # unique, also where upper and lower case are the same
    path: Path  # a file, or a folder of DICOM slices


def find_scans(paths: Sequence[Path], out: Path, reserved: str) -> list[Input]:
    """Return the scans among files and folders, and in folders of scans; report what is left out.

    A folder that holds DICOM slices, or a study in subfolders, is one scan. Any other folder holds a scan in
    every volume and in every subfolder with DICOM slices; of deeper volumes it holds none.

    Args:
        out: folder of the results, which is ignored in folders of scans.
        reserved: a name that no case may have.

    Raises:
        InputError: if a folder has no scans or may not be listed, or if ``out`` is in a scan,
            or folders are in it.
    """
    scans = [scan for path in paths for scan in (_scans_in(path, out) if path.is_dir() else [path])]
    unique = list({_whole(scan): scan for scan in scans}.values())
    for scan in unique:
        if scan.is_dir() and _is_below(out, scan):
            raise InputError(f"--out-dir {out}: is in the scan {scan}, expected another place; choose one")
    return [Input(case, scan) for case, scan in zip(_names(unique, reserved), unique, strict=True)]


def _scans_in(folder: Path, out: Path) -> list[Path]:
    if _is_below(folder, out):
        raise InputError(f"--out-dir {out}: holds the scans of {folder}, expected another folder; choose one")
    volumes, of_dicom, left_out = [], [], []
    try:
        paths = sorted(path for path in folder.iterdir() if not is_note(path) and not _is_below(path, out))
    except OSError as error:
        raise InputError(f"{folder}: {reason(error)}") from None
    for path in paths:
        if path.is_dir():
            if _may_hold_dicom(path):
                of_dicom.append(path)
            else:
                left_out.append(f"{path}: holds no DICOM slices, expected those of one scan")
        elif not path.name.lower().endswith(VOLUMES) and is_dicom(path):
            if not is_enhanced(path):
                return [folder]
            of_dicom.append(path)
        elif (item := identify(path)) is not None:
            if item.stray:
                left_out.append(str(item.fault))
            else:
                volumes.append(path)
    if not volumes and _is_one_study(of_dicom):
        logger.info("calvaria: %s: one scan, as all of its DICOM files are of one study", folder)
        return [folder]
    for line in left_out:
        logger.warning("calvaria: left out: %s", line)
    if not volumes and not of_dicom:
        raise InputError(
            f"{folder}: holds no scans, expected {', '.join(VOLUMES)} files, DICOM slices or folders of "
            "DICOM slices; check the path"
        )
    return sorted([*volumes, *of_dicom])


def _may_hold_dicom(folder: Path) -> bool:
    try:
        return holds_dicom(folder)
    except InputError:  # it may not be listed, which is reported when it is read
        return True


def _is_one_study(paths: Sequence[Path]) -> bool:
    """Return whether there are several DICOM files or folders, of one patient and one study."""
    studies = {_study(path) for path in paths}
    return len(paths) > 1 and len(studies) == 1 and None not in studies


def _study(path: Path) -> tuple[str, str] | None:
    """Return patient ID and study UID of a DICOM file, or of the first one in a folder; None without."""
    from pydicom import dcmread

    files = [path] if path.is_file() else sorted(path.rglob("*"))
    file = next((file for file in files if file.is_file() and is_dicom(file)), None)
    if file is None:
        return None
    try:
        with quiet():
            header = dcmread(file, stop_before_pixels=True, force=True)
            patient, study = str(header.get("PatientID", "")), str(header.get("StudyInstanceUID", ""))
    except Exception:  # damaged bytes can cause any exception in pydicom
        return None
    return (patient, study) if study else None


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _whole(path: Path) -> Path:
    """Return an absolute path; the name of a link is kept."""
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name


def _names(paths: Sequence[Path], reserved: str) -> list[str]:
    """Return a unique name for each path: the first of these that is unique.

    The name without its ending, the path below the common folder without its ending, the path with its
    ending, that with a number.
    """
    whole = [_whole(path) for path in paths]
    common = os.path.commonpath([path.parent for path in whole])
    below = [path.relative_to(common).parts for path in whole]
    short = [own_id(path).lstrip(".") or "scan" for path in whole]
    names = short
    longer = [
        ["-".join([*parts[:-1], own]) for parts, own in zip(below, short, strict=True)],
        ["-".join(parts).lstrip(".") for parts in below],
    ]
    for others in longer:
        counts = Counter(name.casefold() for name in [*names, reserved])
        names = [
            other if counts[name.casefold()] > 1 else name for name, other in zip(names, others, strict=True)
        ]
    taken = {reserved.casefold()}
    unique = []
    for name in names:
        numbered = (name, *(f"{name}-{n}" for n in range(2, len(names) + 3)))
        unique.append(next(one for one in numbered if one.casefold() not in taken))
        taken.add(unique[-1].casefold())
    return unique
