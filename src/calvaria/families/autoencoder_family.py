"""Base class of the convolutional autoencoder families."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from calvaria.families.network_family import NetworkFamily, check_channels
from calvaria.geometry.grid import Grid
from calvaria.plugins.checks import check_halvings
from calvaria.plugins.family import Context, Draw, Drawn, Family, Model, Population
from calvaria.plugins.section import Optimiser


class AutoencoderFamily(NetworkFamily):
    """Base class of the convolutional autoencoders."""

    reconstructs: ClassVar[bool] = True

    representation: Literal["surfaces", "distance", "occupancy"] = "surfaces"
    """Input representation: truncated signed distances to the surfaces of the head, its cavity
    filled, and of the cavity alone; or to those of bone; or 1 for bone and -1 for none. It lowers the mean
    error of distances, and of occupancy cross-entropy and 1 - Dice."""
    patch: int = Field(4, ge=1)
    """Voxels per edge that are rearranged into channels before the first convolution."""
    channels: tuple[int, ...] = (64,)
    """Channels per resolution level, fine to coarse; each further level halves the resolution."""
    blocks: int = Field(1, ge=1)
    """Residual blocks per level."""
    latent_channels: int = Field(8, ge=1)
    """Channels of the latent volume."""
    recompute: bool = False
    """Gradient checkpointing: less memory, a third more time."""
    decode_tile: int | None = Field(None, ge=8)
    """Edge, in voxels of the latent, of the overlapping tiles in which large volumes are decoded; null for
    no tiles."""
    optimiser: Optimiser
    """Training of the network."""

    @property
    def factor(self) -> int:
        """Return the downsampling factor of the latent, per edge."""
        return self.patch * 2 ** (len(self.channels) - 1)

    def check(self, name: str, grid: Grid, processes: int, families: Mapping[str, Family]) -> None:
        check_halvings(f"fit.{name}", grid, self.patch, len(self.channels))
        check_channels(name, self.channels)
        super().check(name, grid, processes, families)

    def sample(
        self, model: Model, population: Population, draws: Sequence[Draw], context: Context
    ) -> list[Drawn]:
        from calvaria.families.autoencoding import sample_gaussian

        return sample_gaussian(self, model, population, draws, context)

    def reconstruct(
        self, model: Model, masks: np.ndarray, context: Context, occupancies: np.ndarray | None = None
    ) -> np.ndarray:
        from calvaria.families.autoencoding import reconstruct

        return reconstruct(self, model, masks, context, occupancies)
