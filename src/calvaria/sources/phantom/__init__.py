"""Procedural skull phantoms: free, unlimited and bit-identical substitutes for real skulls.

==========  ===============================================================
parameters  random anatomical parameters
build       voxels from parameters, without random numbers
anatomy     the parts of a skull as signed distances
sdf         signed distances to simple solids, and their smooth blends
==========  ===============================================================

Volumes are indexed [x, y, z] in RAS+ and labelled 0/1. Every operation is an elementwise float64 one that
IEEE 754 rounds exactly, so the mask is the same on any machine; parameters are rounded to 1e-4.
"""

from typing import ClassVar, Literal

from pydantic import Field

from calvaria import seeds
from calvaria.plugins.costs import SourceCost
from calvaria.plugins.source import Entry, Scan, Source


class PhantomSource(Source):
    """Procedural skulls from the run's seed; needs no data."""

    kind: Literal["phantom"]
    """Selects procedural phantoms."""
    count: int = Field(24, ge=1)
    """Number of different people."""
    spacing_mm: float = Field(2.0, gt=0)
    """Voxel size in which the phantoms are computed before they are resampled to the grid."""

    synthetic: ClassVar[bool] = True

    def estimated_cost(self) -> SourceCost:
        return SourceCost(scan_s=1.0)

    def entries(self, name: str) -> list[Entry]:
        """Return one entry per person."""
        ids = [f"{name}/{index:04d}" for index in range(self.count)]
        return [Entry(id, id) for id in ids]

    def read(self, entry: Entry, seed: int) -> Scan:
        """Build the phantom of an entry; the run's seed and its number determine it."""
        from calvaria.sources.phantom.build import build_phantom
        from calvaria.sources.phantom.parameters import sample_phantom

        phantom = sample_phantom(seeds.generator(seed, "ingest", "phantom", int(entry.own_id)))
        return Scan(*build_phantom(phantom, self.spacing_mm))
