"""The description of a data set shared by card, Croissant and RO-Crate."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from calvaria.config import Grid
from calvaria.publishing.selection import Part
from calvaria.publishing.terms import Terms

KEYWORDS = ("skull", "cranial implant", "cranioplasty", "synthetic data", "shape completion", "Zarr")
METHOD = "https://arxiv.org/abs/2406.06372"


@dataclass(frozen=True)
class Published:
    """A data set."""

    name: str  # of the run
    grid: Grid
    terms: Terms
    parts: list[Part]
    audits: dict[str, dict[str, Any]]  # by family
    digest: str
    made: dict[str, Any]  # digest, seed, code, versions and hardware of the run
    day: date
    sizes: dict[str, int]  # bytes of its data files

    @property
    def description(self) -> str:
        """A summary of two sentences."""
        shape = " x ".join(map(str, self.grid.shape))
        cases, skulls = (
            sum(part.count for part in self.parts if part.cases is kind) for kind in (True, False)
        )
        return (
            f"{cases} cases of cranial defects, each a remaining skull and its implant, and {skulls} "
            f"complete skulls, as label volumes of {shape} voxels of {self.grid.spacing_mm:g} mm, with the "
            f"parameters and the lineage of each. For research; not a medical device."
        )

    @property
    def citation(self) -> str:
        """The BibTeX entry."""
        authors = " and ".join(self.terms.authors)
        where = f", url = {{{self.terms.url}}}" if self.terms.url else ""
        return (
            f"@misc{{{self.name}, title = {{{self.terms.title}}}, author = {{{authors}}}, "
            f"year = {{{self.day.year}}}, version = {{{self.terms.version}}}, "
            f"note = {{SHA-256 digest {self.digest}}}{where}}}"
        )


def licence_url(licence: str) -> str:
    """Return the URL of an SPDX identifier; a custom identifier (LicenseRef-) is returned unchanged."""
    return licence if licence.startswith("LicenseRef-") else f"https://spdx.org/licenses/{licence}"
