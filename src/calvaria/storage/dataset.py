"""A torch data set of a store: of a published directory, or of a run."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.storage.packed import PackedStore, open_store
from calvaria.storage.store import Row, read_json

KEYS = ("defective", "implant", "skull", "labels", "planes")


class SkullDataset(Dataset[dict[str, Any]]):
    """The volumes of one store as dictionaries of tensors, as MONAI's transforms want them.

    An item has ``index``, the volume's number, and for every key a (1, x, y, z) tensor, x to the right, y to
    the front and z to the top:

    - ``defective``: 1 where bone remains;
    - ``implant``: 1 where bone is missing, nowhere in a store of skulls;
    - ``skull``: 1 in either, the complete skull;
    - ``labels``: 0 background, 1 remaining bone, 2 implant;
    - ``planes``: (plane, x, y, z / 8), bits of defective skull and implant, for `unpack` on a GPU: an eighth
      of the bytes to make and to send.

    ``rows[index]`` says what a volume is; it is no part of an item, since lists and nulls cannot be collated.
    Nothing is read before the first item, and no file is kept open, so loaders may spawn their workers.
    """

    def __init__(
        self,
        path: str | Path,
        keys: Collection[str] = ("defective", "implant"),
        *,
        dtype: torch.dtype = torch.uint8,
        transform: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        """Opens a store.

        Args:
            path: of the store, such as ``cases/ldm.zarr``.
            keys: what an item has of the five.
            dtype: of the tensors but ``planes``, which stay uint8.
            transform: of an item.

        Raises:
            StoreError: if there is no store, or its rows are damaged.
            ValueError: if a key is none of the five.
        """
        if unknown := [key for key in keys if key not in KEYS]:
            raise ValueError(f"unknown keys {', '.join(unknown)}; there are {', '.join(KEYS)}")
        self.store = open_store(Path(path))
        self.keys = tuple(keys)
        self.dtype = dtype
        self.transform = transform
        self.rows: list[Row] = self.store.rows()
        about = read_json(self.store.path / "zarr.json")["attributes"]
        self.affine: np.ndarray = np.array(about["affine"])
        """(4, 4) float64, from voxels to millimetres, RAS+."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        number = range(len(self.rows))[index]  # negative ones count from the end
        masks = self._masks(number)
        item: dict[str, Any] = {"index": number}
        for key in self.keys:
            tensor = torch.from_numpy(masks[key])
            item[key] = tensor if key == "planes" else tensor[None].to(self.dtype)
        return item if self.transform is None else self.transform(item)

    def _masks(self, number: int) -> dict[str, np.ndarray]:
        """What is asked for: (x, y, z) uint8, planes (plane, x, y, z / 8)."""
        if not isinstance(self.store, PackedStore):
            labels = self.store.volume(self.rows[number])
            masks = [(labels == label).view(np.uint8) for label in (BONE, IMPLANT)]
        elif self.keys == ("planes",):
            return {"planes": self.store.planes(number)}
        else:
            masks = self.store.masks(number)
        defective, implant = masks if len(masks) == 2 else (masks[0], np.zeros_like(masks[0]))
        made = {
            "defective": lambda: defective,
            "implant": lambda: implant,
            "skull": lambda: defective | implant,
            "labels": lambda: defective + IMPLANT * implant,
            "planes": lambda: np.packbits(np.stack(masks), axis=-1),
        }
        return {key: made[key]() for key in self.keys}


def unpack(planes: torch.Tensor) -> torch.Tensor:
    """The masks of ``planes``, on the device where they are.

    Args:
        planes: (..., plane, x, y, z / 8) uint8.

    Returns:
        (..., plane, x, y, z) uint8 masks; plane 0 is the defective skull, plane 1 the implant.
    """
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=planes.device)
    return ((planes[..., None] >> shifts) & 1).flatten(-2)
