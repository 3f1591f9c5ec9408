"""The sources of skulls, and how skulls are conformed to the grid."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from calvaria.plugins.registry import kinds
from calvaria.plugins.section import Name, Section
from calvaria.plugins.source import Source

if TYPE_CHECKING:
    AnySource = Source
else:
    AnySource = Annotated[reduce(or_, kinds("sources").values()), Field(discriminator="kind")]


class Ingest(Section):
    """Reading, alignment and checks of the real skulls."""

    sources: dict[Name, AnySource] = Field(min_length=1)
    """Sources of real skulls, by name; a skull's id is the source's name, a slash, its own id."""
    top_margin_mm: float = Field(10.0, ge=0)
    """Margin between the top of the vault and the top of the grid, for a head of average size."""
    strict: bool = False
    """Whether a skull that fails a check stops the run; else it is rejected with a warning."""
    accept: tuple[str, ...] = ()
    """Doubtful skulls that are used nevertheless, by id or glob pattern, such as `clinic/*`."""
    shard_size: int = Field(12, ge=1)
    """Skulls per shard; one job makes one shard."""
