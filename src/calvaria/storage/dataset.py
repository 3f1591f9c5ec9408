"""A torch data set of a published store or a run's store."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.storage.packed import PackedStore, open_store
from calvaria.storage.store import read_json

KEYS = ("defective", "implant", "skull", "labels", "planes")


class SkullDataset(Dataset[dict[str, Any]]):
    """The volumes of one store as dictionaries of tensors, for MONAI's dictionary transforms.

    An item has ``index``, the volume's number, and for every key a (1, x, y, z) tensor in RAS+ orientation:

    - ``defective``: 1 is remaining bone;
    - ``implant``: 1 is missing bone; all 0 in a store of skulls;
    - ``skull``: 1 is the complete skull, the union of both;
    - ``labels``: 0 background, 1 remaining bone, 2 implant;
    - ``planes``: (plane, x, y, z / 8), bits of defective skull and implant, for `unpack` on a GPU: an eighth
      of the bytes to load and transfer.

    ``rows[index]`` has the metadata of a volume (docs/tables.md). It is not part of the item because lists
    and nulls cannot be collated. No file is kept open, so loaders may spawn their workers.
    """

    def __init__(
        self,
        path: str | Path,
        keys: Collection[str] = ("defective", "implant"),
        *,
        dtype: torch.dtype = torch.uint8,
        transform: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        """Open a store and read its rows.

        Args:
            path: directory of the store, such as ``cases/ldm.zarr``.
            keys: keys of an item, some of the five above.
            dtype: type of all tensors except ``planes``, which stay uint8.
            transform: function that is applied to every item.

        Raises:
            StoreError: if there is no store, or its rows are damaged.
            ValueError: if a key is unknown.
        """
        if unknown := [key for key in keys if key not in KEYS]:
            raise ValueError(f"unknown keys {', '.join(unknown)}; expected some of {', '.join(KEYS)}")
        self.store = open_store(Path(path))
        self.keys = tuple(keys)
        self.dtype = dtype
        self.transform = transform
        self.rows: list[Any] = self.store.rows()
        """The rows of the store: those of table screen, inject or another (docs/tables.md)."""
        attributes = read_json(self.store.path / "zarr.json")["attributes"]
        self.affine: np.ndarray = np.array(attributes["affine"])
        """(4, 4) float64, from voxel indices to RAS+ millimetres."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        number = range(len(self.rows))[index]  # negative indices count from the end
        masks = self._masks(number)
        item: dict[str, Any] = {"index": number}
        for key in self.keys:
            tensor = torch.from_numpy(masks[key])
            item[key] = tensor if key == "planes" else tensor[None].to(self.dtype)
        return item if self.transform is None else self.transform(item)

    def _masks(self, number: int) -> dict[str, np.ndarray]:
        """Return the arrays of all keys: (x, y, z) uint8, for planes (plane, x, y, z / 8)."""
        if not isinstance(self.store, PackedStore):
            labels = self.store.volume(self.rows[number])
            masks = [(labels == label).view(np.uint8) for label in (BONE, IMPLANT)]
        elif self.keys == ("planes",):
            return {"planes": self.store.planes(number)}
        else:
            masks = self.store.masks(number)
        defective, implant = masks if len(masks) == 2 else (masks[0], np.zeros_like(masks[0]))
        views = {
            "defective": lambda: defective,
            "implant": lambda: implant,
            "skull": lambda: defective | implant,
            "labels": lambda: defective + IMPLANT * implant,
            "planes": lambda: np.packbits(np.stack(masks), axis=-1),
        }
        return {key: views[key]() for key in self.keys}


def unpack(planes: torch.Tensor) -> torch.Tensor:
    """Return the masks of ``planes``, on the same device.

    Args:
        planes: (..., plane, x, y, z / 8) uint8.

    Returns:
        (..., plane, x, y, z) uint8 masks; plane 0 is the defective skull, plane 1 the implant.
    """
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=planes.device)
    return ((planes[..., None] >> shifts) & 1).flatten(-2)
