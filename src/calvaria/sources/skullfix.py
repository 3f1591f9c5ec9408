"""SkullFix, also known as the AutoImplant 2020 challenge: a hundred skulls with one synthetic defect each.

    training_set/complete_skull/NNN.nrrd
    training_set/defective_skull/NNN.nrrd
    training_set/implant/NNN.nrrd

Masks of 512 x 512 x Z voxels, anisotropic and oblique. The evaluation set (test_set_for_participants and
additional_test_set_for_participants) has defective skulls only; it is not read.

Adapted from CQ500, CC BY-NC-SA 4.0; Kodym, Li et al. 2021, Data in Brief 35:106902. Several scans may show
one person, which the file names do not indicate.
"""

from pathlib import Path
from typing import ClassVar, Literal

from calvaria.errors import InputError
from calvaria.plugins.costs import SourceCost
from calvaria.plugins.source import Entry, FileSource, Scan
from calvaria.sources.triplet import PARTS, by_id, lacking, read_triplet


class SkullfixSource(FileSource):
    """SkullFix, also AutoImplant 2020: complete_skull/, defective_skull/ and implant/ with NNN.nrrd each."""

    kind: Literal["skullfix"]
    """Selects SkullFix; path is training_set or the folder above it."""

    brings_defects: ClassVar[bool] = True

    def estimated_cost(self) -> SourceCost:
        return SourceCost(scan_s=6.5)

    def entries(self, name: str) -> list[Entry]:
        """Return the training set's skulls in the order of their ids; one with a missing part has a fault.

        Raises:
            InputError: if there is no such folder, or not all of the three folders of parts in it.
        """
        root = self.path / "training_set"
        root = root if root.is_dir() else self.path
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
        return [_entry(name, root, id, parts) for id in ids[: self.limit]]

    def read(self, entry: Entry, seed: int) -> Scan:
        """Read one skull; the seed has no effect.

        Raises:
            InputError: as for `read_triplet`.
        """
        return read_triplet(*entry.files)


def _entry(name: str, root: Path, id: str, parts: list[dict[str, Path]]) -> Entry:
    missing = [
        root / part / f"{id}.nrrd" for part, files in zip(PARTS, parts, strict=True) if id not in files
    ]
    files = tuple(files[id] for files in parts if id in files)
    return Entry(f"{name}/{id}", f"{name}/{id}", files, lacking(missing))
