"""Sampling of skulls from the families."""

from pydantic import Field

from calvaria.plugins.section import Section


class Sample(Section):
    """Samples of every fitted family."""

    count: int = Field(32, ge=1)
    """Skulls per family; raising it keeps the shards that exist."""
    shard_size: int = Field(32, ge=1)
    """Skulls per shard; one job makes one shard."""
    batch_size: int = Field(4, ge=1)
    """Skulls per forward pass; batches are always full."""
