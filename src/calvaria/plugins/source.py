"""The contract of a source of skulls; docs/own_source.md shows how a package provides its own."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from calvaria.plugins.costs import UNKNOWN_SOURCE, SourceCost
from calvaria.plugins.scan import Entry, Scan
from calvaria.plugins.section import Section

__all__ = ["Entry", "FileSource", "Scan", "Source"]


class Source(Section, ABC):
    """A source of skulls: its fields are its section of the config, below ``ingest.sources``.

    It lists its skulls cheaply, and reads one scan at a time.
    """

    if TYPE_CHECKING:  # declared by every source, after the fields of its bases
        kind: str

    brings_defects: ClassVar[bool] = False  # whether its skulls may have an implant (label 2)
    synthetic: ClassVar[bool] = False  # whether its skulls are generated, so that no licence applies

    def estimated_cost(self) -> SourceCost:
        """Return the cost of a scan, for estimates; not part of any fingerprint."""
        return UNKNOWN_SOURCE

    @abstractmethod
    def entries(self, name: str) -> list[Entry]:
        """List the skulls in the order of their ids, without opening a volume.

        Args:
            name: of this source in the config; every id begins with it and a slash.

        Raises:
            InputError: if there is no such folder, or no skull in it.
        """

    @abstractmethod
    def read(self, entry: Entry, seed: int) -> Scan:
        """Read or generate the skull of an entry.

        Args:
            seed: of the run; sources that read files ignore it.

        Raises:
            InputError: naming the file, the fault and the remedy.
        """


class FileSource(Source):
    """A source that reads the files of a folder."""

    path: Path
    """The folder of the data set; relative to the working directory."""
    limit: int | None = Field(None, ge=1)
    """Use only the first skulls, at most this many, in the order of their ids; null uses all."""
