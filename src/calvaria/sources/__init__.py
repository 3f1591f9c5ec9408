"""Where real skulls come from. A source lists its skulls cheaply and reads one scan at a time.

==========  ================================================================================
phantom     procedural skulls from the run's seed
folder      binary or label volumes, NIfTI, NRRD or MetaImage, in one folder
skullfix    SkullFix / AutoImplant 2020: complete and defective skull and implant
skullbreak  SkullBreak: the same with five defects for every skull
mug500      MUG500+: healthy skulls, and craniotomies with implants as meshes
ct          head CTs in Hounsfield units: NIfTI, NRRD, MetaImage or DICOM
==========  ================================================================================

A source's module is called like its ``kind`` and has

    entries(name: str, source: Source) -> list[Entry]
    read(source: Source, entry: Entry, seed: int) -> Scan
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from calvaria.config import Source
from calvaria.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from calvaria.sources.summary import Summary


@dataclass(frozen=True)
class Entry:
    """One skull that a source offers, known without opening a volume."""

    id: str  # the source's name, a slash, and the skull's own id
    person: str  # whose skull it is, as far as the source tells; people, not scans, are split
    files: tuple[Path, ...] = ()  # existing files, or folders of DICOM slices, that it is read from
    fault: str | None = None  # why it cannot be read, such as a missing partner file

    @property
    def source(self) -> str:
        """The source's name."""
        return self.id.split("/", 1)[0]

    @property
    def own_id(self) -> str:
        """The skull's id within its source."""
        return self.id.split("/", 1)[1]


@dataclass(frozen=True)
class Scan:
    """One skull as its source has it."""

    labels: "np.ndarray"  # (i, j, k) uint8: 0 background, 1 bone, 2 implant; skull = label > 0
    affine: "np.ndarray"  # (4, 4) float64, voxel indices to RAS+ millimetres
    summary: "Summary | None" = None  # of what was read; built scans have none


class SourceModule(Protocol):
    """What the module of a source offers."""

    def entries(self, name: str, source: Any) -> list[Entry]:
        """The source's skulls in the order of their ids.

        Raises:
            InputError: if there is no such folder, or nothing of this kind in it.
        """
        ...

    def read(self, source: Any, entry: Entry, seed: int) -> Scan:
        """Reads, or builds, one skull.

        Raises:
            InputError: naming the file, what is wrong with it, and what to do.
        """
        ...


def source_module(kind: str) -> SourceModule:
    """The module of a kind of source, imported when it is needed."""
    return import_module(f"calvaria.sources.{kind}")


def catalogue(sources: Mapping[str, Source]) -> list[Entry]:
    """All skulls of all sources in a fixed order; opens no volume.

    Raises:
        InputError: naming every source that offers nothing.
    """
    found: list[Entry] = []
    faults = []
    for name, source in sources.items():
        try:
            found += source_module(source.kind).entries(name, source)
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError("\n".join(faults))
    return found


def read(sources: Mapping[str, Source], entry: Entry, seed: int) -> Scan:
    """Reads, or builds, the skull of an entry of the catalogue.

    Raises:
        InputError: naming the file, what is wrong with it, and what to do.
    """
    if entry.fault is not None:
        raise InputError(entry.fault)
    source = sources[entry.source]
    return source_module(source.kind).read(source, entry, seed)
