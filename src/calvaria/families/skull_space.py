"""The space in which networks learn skulls: fields of skulls that all have the same centre and size.

Distances of heads of different sizes do not mix well. Where the surfaces of two heads lie apart, their mean
distance rises less than one millimetre per millimetre, so that every detail of it moves the surface too far:
mixtures are lumpy. So fields are shifted and scaled along the axes, such that all vaults have the mean extent
of the training skulls. A sample's own extent is drawn from a Gaussian and restored.
"""

from dataclasses import dataclass

import numpy as np
import torch

from calvaria.families.representation import CHANNELS, bone_depth, encode
from calvaria.geometry.grid import Grid
from calvaria.plugins.family import Population
from calvaria.skull.vault import find_vault


@dataclass(frozen=True)
class SkullSpace:
    """A representation, and the boxes of the training skulls' vaults."""

    representation: str
    grid: Grid
    boxes: np.ndarray  # (n, 2, 3) float64: centre, and logarithm of the semi-axes, in mm

    @classmethod
    def of(cls, masks: np.ndarray, representation: str, grid: Grid) -> "SkullSpace":
        """Return the space of training skulls (n, x, y, z)."""
        return cls(representation, grid, boxes(masks, grid))

    @property
    def channels(self) -> int:
        """Return the number of channels of a field."""
        return CHANNELS[self.representation]

    @property
    def box(self) -> np.ndarray:
        """Return the box of all fields (2, 3): the mean, centred between left and right."""
        mean: np.ndarray = self.boxes.mean(0)
        mean[0, 0] = 0
        return mean

    def encode(self, masks: np.ndarray, occupancies: np.ndarray | None = None) -> torch.Tensor:
        """Return the fields (n, c, x, y, z) of skulls (n, x, y, z), see `representation.encode`."""
        box, fields = self.box, torch.empty(len(masks), self.channels, *masks.shape[1:])
        for i, own in enumerate(boxes(masks, self.grid)):
            one = slice(i, i + 1)
            occupancy = None if occupancies is None else occupancies[one]
            (encoded,) = encode(masks[one], self.representation, self.grid, occupancy)
            fields[i] = torch.from_numpy(_moved(encoded, own, box, self.grid))
        return fields

    def restore(self, fields: torch.Tensor, boxes: np.ndarray) -> np.ndarray:
        """Return fields (n, c, x, y, z), moved to the boxes (n, 2, 3) of their skulls, as float32."""
        box, restored = self.box, np.empty(fields.shape, np.float32)
        for out, field, own in zip(restored, fields.numpy(), boxes, strict=True):
            out[:] = _moved(field, box, own, self.grid)
        return restored

    def draw_box(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a box (2, 3) from a Gaussian fitted to those of the training skulls and their mirrors."""
        centred = self.boxes - self.box
        spread = np.concatenate([centred, centred * [[[-1, 1, 1], [1, 1, 1]]]])
        # Mirror images are no further people: the covariance is divided by the people's number less one.
        factors = rng.standard_normal(len(spread)) / np.sqrt(max(len(spread) - 2, 1))
        return self.box + np.einsum("n,nij->ij", factors, spread)


@dataclass(frozen=True)
class EncodedPopulation:
    """The fields of a population, and their space."""

    space: SkullSpace
    fields: torch.Tensor  # (n, c, x, y, z) float32 of the training skulls
    validation: torch.Tensor  # (m, c, x, y, z) float32
    masks: np.ndarray  # (m, x, y, z) uint8, the validation skulls

    @classmethod
    def of(cls, population: Population, representation: str, grid: Grid) -> "EncodedPopulation":
        """Encode a population."""
        space = SkullSpace.of(population.masks, representation, grid)
        fields = space.encode(population.masks, population.occupancies)
        validation = space.encode(population.validation, population.validation_occupancies)
        return cls(space, fields, validation, population.validation)

    @property
    def bone_fraction(self) -> float:
        """Return the fraction of bone in the fields of all skulls.

        The mean of the few validation skulls alone is off by several percent.
        """
        known = [(bone_depth(one[None].numpy()) > 0).mean() for one in (*self.fields, *self.validation)]
        return float(np.mean(known))


def boxes(masks: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the boxes (n, 2, 3) of the vaults of skulls (n, x, y, z).

    Raises:
        InputError: if a skull has no vault.
    """
    vaults = [find_vault(mask, grid) for mask in masks]
    return np.array([(vault.centre_mm, np.log(vault.semi_axes_mm)) for vault in vaults])


def _moved(field: np.ndarray, box: np.ndarray, to: np.ndarray, grid: Grid) -> np.ndarray:
    """Return a field (c, x, y, z) shifted and scaled from one box to another, by linear interpolation."""
    for axis in range(3):
        n = grid.shape[axis]
        place = box[0, axis] + (grid.centres(axis) - to[0, axis]) * np.exp(box[1, axis] - to[1, axis])
        index = np.clip(place / grid.spacing_mm + (n - 1) / 2, 0, n - 1)
        first = np.minimum(index.astype(np.intp), n - 2)
        share = (index - first).astype(np.float32).reshape(-1, *[1] * (2 - axis))
        low, high = (np.take(field, at, axis=axis + 1) for at in (first, first + 1))
        field = low + share * (high - low)
    return field
