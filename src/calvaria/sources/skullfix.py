"""SkullFix, also known as the AutoImplant 2020 challenge: a hundred skulls with one synthetic defect each.

    training_set/complete_skull/NNN.nrrd
    training_set/defective_skull/NNN.nrrd
    training_set/implant/NNN.nrrd

Masks of 512 x 512 x Z voxels, anisotropic and oblique. The evaluation set (test_set_for_participants and
additional_test_set_for_participants) has defective skulls only; it is not read.

Adapted from CQ500, CC BY-NC-SA 4.0; Kodym, Li et al. 2021, Data in Brief 35:106902. Several scans may show
one person, which the file names do not tell.
"""

from pathlib import Path

from calvaria.config import SkullfixSource
from calvaria.errors import InputError
from calvaria.sources import Entry, Scan
from calvaria.sources.listing import own_id
from calvaria.sources.triplet import read_triplet

PARTS = ("complete_skull", "defective_skull", "implant")


def entries(name: str, source: SkullfixSource) -> list[Entry]:
    """The skulls of the training set in the order of their ids; one with a part missing has a fault.

    Raises:
        InputError: if there is no such folder, or not all of the three folders of parts in it.
    """
    root = source.path / "training_set"
    root = root if root.is_dir() else source.path
    absent = [part for part in PARTS if not (root / part).is_dir()]
    if absent:
        raise InputError(
            f"ingest.sources.{name}.path: {root} has no folder {', '.join(absent)}, expected "
            f"{', '.join(PARTS)} as in SkullFix's training_set; unpack the set there, or change the path"
        )
    parts = [by_id(root / part) for part in PARTS]
    ids = sorted(set().union(*parts))
    if not ids:
        raise InputError(
            f"ingest.sources.{name}.path: {root} has no .nrrd or .nii.gz file in {', '.join(PARTS)}; "
            "unpack or link the set there, or change the path"
        )
    return [_entry(name, root, id, parts) for id in ids[: source.limit]]


def _entry(name: str, root: Path, id: str, parts: list[dict[str, Path]]) -> Entry:
    missing = [
        root / part / f"{id}.nrrd" for part, files in zip(PARTS, parts, strict=True) if id not in files
    ]
    found = tuple(files[id] for files in parts if id in files)
    return Entry(f"{name}/{id}", f"{name}/{id}", found, lacking(missing))


def read(source: SkullfixSource, entry: Entry, seed: int) -> Scan:
    """Read one skull; the seed has no effect.

    Raises:
        InputError: as `read_triplet`.
    """
    return read_triplet(*entry.files)


def by_id(folder: Path) -> dict[str, Path]:
    """The volumes right in a folder, NRRD or converted to NIfTI, by their names without ending.

    Raises:
        InputError: if two of them have the same id.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        if path.name.startswith(".") or not path.name.endswith((".nrrd", ".nii.gz")):
            continue
        id = own_id(path)
        if id in found:
            raise InputError(f"{found[id]} and {path}: are the same part of one skull; remove one of them")
        found[id] = path
    return found


def lacking(missing: list[Path]) -> str | None:
    """The fault of a skull some of whose files are missing."""
    if not missing:
        return None
    return f"no such file: {', '.join(map(str, missing))}; restore it from the data set's archive"
