"""A folder of NIfTI label volumes: 0 background, 1 bone, 2 implant (optional); skull = label > 0.

Each file is taken as another person; files that are scans of one person have to be told apart beforehand.
"""

from pathlib import Path

import numpy as np

from calvaria.config import FolderSource
from calvaria.errors import InputError
from calvaria.sources import Scan


def files(source: FolderSource) -> list[Path]:
    """The folder's matching files in the order of their names.

    Raises:
        InputError: if the folder is missing, has fewer than four matching files, or two share an id.
    """
    if not source.path.is_dir():
        raise InputError(
            f"ingest.source.path: no such folder: {source.path}; put your skulls there, link it "
            f"(ln -s /where/they/are {source.path}) or change the path"
        )
    found = sorted(source.path.glob(source.pattern))[: source.limit]
    if len(found) < 4:
        raise InputError(
            f"ingest.source: {source.path} has {len(found)} file(s) matching {source.pattern}, "
            f"at least 4 are needed"
        )
    names = [skull_id(path) for path in found]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise InputError(f"ingest.source: {source.path} has several files with the id {', '.join(doubles)}")
    return found


def skull_id(path: Path) -> str:
    """The file's name up to its first dot."""
    return path.name.split(".", 1)[0]


def read(path: Path) -> Scan:
    """Reads one label volume.

    Raises:
        InputError: if it is not a readable three-dimensional volume of labels 0, 1, 2 with an affine.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image = nibabel.load(path)
        labels = np.asarray(image.dataobj)
        affine = np.asarray(image.affine, dtype=np.float64)
    except (OSError, EOFError, ValueError, ImageFileError) as error:
        raise InputError(f"{path}: cannot be read as NIfTI ({error}); export it again") from None
    if labels.ndim != 3:
        raise InputError(f"{path}: has shape {labels.shape}, wanted a three-dimensional volume")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise InputError(f"{path}: its affine cannot be inverted; repair the header's spacing and directions")
    if not np.isin(labels, (0, 1, 2)).all():
        found = np.unique(labels)[:6].tolist()
        raise InputError(f"{path}: holds the values {found}..., wanted labels 0, 1, 2")
    if not labels.any():
        raise InputError(f"{path}: is empty, wanted a skull")
    name = skull_id(path)
    return Scan(name, name, labels.astype(np.uint8), affine)
