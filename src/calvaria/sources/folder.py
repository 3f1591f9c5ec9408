"""A folder of label volumes: 0 background, 1 bone, 2 implant (optional); or masks of 0 and 255."""

from typing import ClassVar, Literal

from calvaria.errors import InputError
from calvaria.geometry.grid import IMPLANT
from calvaria.plugins.costs import SourceCost
from calvaria.plugins.scan import summarise
from calvaria.plugins.source import Entry, FileSource, Scan
from calvaria.sources.listing import contents, entries_of, identify
from calvaria.sources.volumes import labels_of, looks_like_ct, read_volume


class FolderSource(FileSource):
    """A folder of masks or label volumes, NIfTI, NRRD or MetaImage: 0 background, 1 bone, 2 implant."""

    kind: Literal["folder"]
    """Selects a folder of volumes."""
    pattern: str = "*"
    """Glob pattern of files; a skull's id is its name without suffix, or its path if names are equal."""
    person: str | None = None
    """Regular expression for skull ids whose first group is the person; null: each file is another person."""

    brings_defects: ClassVar[bool] = True

    def estimated_cost(self) -> SourceCost:
        return SourceCost(scan_s=0.6)

    def entries(self, name: str) -> list[Entry]:
        """Return one entry for each volume, and one with a fault for each other file.

        Raises:
            InputError: if there is no such folder, nothing in it, or if pattern or person are malformed.
        """
        items = [item for path in contents(name, self) if (item := identify(path)) is not None]
        return entries_of(name, self, items)

    def read(self, entry: Entry, seed: int) -> Scan:
        """Read one label volume; the seed has no effect.

        Raises:
            InputError: if it is not a readable three-dimensional volume of labels with a sane affine.
        """
        if entry.fault is not None:
            raise InputError(entry.fault)
        path = entry.files[0]
        volume = read_volume(path)
        if looks_like_ct(volume.values):
            raise InputError(
                f"{path}: looks like a CT in Hounsfield units, expected labels; read such files in a source "
                "of kind: ct"
            )
        labels = labels_of(path, volume)
        kind: Literal["label volume", "mask"] = "label volume" if labels.values.max() == IMPLANT else "mask"
        summary = summarise(kind, labels.values, labels.affine, labels.origin)
        return Scan(labels.values, labels.affine, summary)
