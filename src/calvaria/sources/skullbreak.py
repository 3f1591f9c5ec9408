"""SkullBreak: skulls with five synthetic defects each.

    complete_skull/NNN.nrrd            (some copies: complete_skull/<type>/NNN.nrrd)
    defective_skull/<type>/NNN.nrrd
    implant/<type>/NNN.nrrd

Masks of 512 x 512 x 512 voxels of 0.4 mm. The five defects of a skull belong to one person. The evaluation
set is not read unless path names its folder and it has implants.

Adapted from CQ500, CC BY-NC-SA 4.0; Kodym, Li et al. 2021, Data in Brief 35:106902.
"""

from typing import ClassVar, Literal

from calvaria.errors import InputError
from calvaria.plugins.costs import SourceCost
from calvaria.plugins.source import Entry, FileSource, Scan
from calvaria.sources.triplet import PARTS, by_id, lacking, read_triplet

TYPES = ("bilateral", "frontoorbital", "parietotemporal", "random_1", "random_2")


class SkullbreakSource(FileSource):
    """SkullBreak: complete_skull/NNN.nrrd; defective_skull/ and implant/ with a folder per defect type."""

    kind: Literal["skullbreak"]
    """Selects SkullBreak."""

    brings_defects: ClassVar[bool] = True

    def estimated_cost(self) -> SourceCost:
        return SourceCost(scan_s=6.5)

    def entries(self, name: str) -> list[Entry]:
        """Return one entry per skull and type of defect, in order; one with a missing part has a fault.

        A type may be absent as a whole.

        Raises:
            InputError: if there is no such folder, or no defect of any type in it.
        """
        root = self.path
        entries: list[Entry] = []
        for type in TYPES:
            if not any((root / part / type).is_dir() for part in PARTS[1:]):
                continue
            parts = [by_id(root / part / type) for part in PARTS]
            parts[0] = by_id(root / PARTS[0]) | parts[0]
            for id in set().union(*parts):
                expected = (
                    root / PARTS[0] / f"{id}.nrrd",
                    *(root / part / type / f"{id}.nrrd" for part in PARTS[1:]),
                )
                missing = [path for path, files in zip(expected, parts, strict=True) if id not in files]
                files = tuple(files[id] for files in parts if id in files)
                entries.append(Entry(f"{name}/{id}-{type}", f"{name}/{id}", files, lacking(missing)))
        if not entries:
            raise InputError(
                f"ingest.sources.{name}.path: {root} has no volume in {PARTS[1]}/<type>/ or "
                f"{PARTS[2]}/<type>/ with any of the types {', '.join(TYPES)}; unpack or link SkullBreak "
                "there, or change the path"
            )
        return sorted(entries, key=lambda entry: entry.id)[: self.limit]

    def read(self, entry: Entry, seed: int) -> Scan:
        """Read one skull with one defect; the seed has no effect.

        Raises:
            InputError: as for `read_triplet`.
        """
        return read_triplet(*entry.files)
