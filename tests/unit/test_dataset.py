"""The torch data set: correct tensors from both kinds of store, also in spawned workers."""

import numpy as np
import pytest
import torch

from calvaria.errors import StoreError
from calvaria.geometry.grid import Grid
from calvaria.storage.dataset import SkullDataset, unpack
from calvaria.storage.packed import write_packed
from calvaria.storage.store import Store, digest, write_shard

GRID = Grid((8, 16, 24), 2.0)
VOLUMES = np.random.default_rng(0).integers(0, 3, (5, *GRID.shape), np.uint8)
KEYS = ("defective", "implant", "skull", "labels")


@pytest.fixture(params=["packed", "run"])
def place(request, tmp_path):
    path = tmp_path / "s.zarr"
    rows = [{"recipe": f"r{i}", "defect": None} for i in range(5)]
    if request.param == "packed":
        about = [{"index": i, **row, "sha256": digest(VOLUMES[i])} for i, row in enumerate(rows)]
        write_packed(path, iter(VOLUMES), about, 2, GRID, cases=True)
    else:
        write_shard(Store(path), 0, 5, 5, GRID, VOLUMES, rows)
    return path


@pytest.mark.parametrize("keys", [KEYS, ("defective", "implant")])
def test_items_are_views_of_one_label_volume(place, keys):
    data = SkullDataset(place, keys)
    expected = {"defective": VOLUMES == 1, "implant": VOLUMES == 2, "skull": VOLUMES > 0, "labels": VOLUMES}
    assert len(data) == 5
    for index in (0, 4):
        item = data[index]
        assert item.keys() == {*keys, "index"}
        assert data.rows[item["index"]]["recipe"] == f"r{index}"
        for key in keys:
            assert item[key].shape == (1, *GRID.shape)
            assert item[key].dtype == torch.uint8
            assert item[key].is_contiguous()
            assert np.array_equal(item[key][0], expected[key][index])
    assert data[-1]["index"] == 4
    assert np.allclose(data.affine, GRID.affine)


def test_planes_are_unpacked_on_the_device(place):
    data = SkullDataset(place, ("planes",), dtype=torch.float32)
    planes = torch.stack([data[0]["planes"], data[3]["planes"]])
    assert planes.shape == (2, 2, 8, 16, 3)
    masks = unpack(planes)
    assert masks.dtype == torch.uint8
    assert np.array_equal(masks[:, 0], VOLUMES[[0, 3]] == 1)
    assert np.array_equal(masks[:, 1], VOLUMES[[0, 3]] == 2)
    both = SkullDataset(place, ("planes", "implant"))[3]
    assert np.array_equal(unpack(both["planes"])[1], both["implant"][0])


def test_it_ends_and_takes_a_dtype_and_a_transform(place):
    data = SkullDataset(place, ("implant",), dtype=torch.float32, transform=lambda item: item["implant"] * 2)
    assert [float(one.max()) for one in data] == [2.0] * 5


def test_a_store_of_skulls_has_no_implant(tmp_path):
    skull = (VOLUMES[0] > 0).astype(np.uint8)
    rows = [{"index": 0, "sha256": digest(skull)}]
    write_packed(tmp_path / "s.zarr", iter([skull]), rows, 1, GRID, cases=False)
    item = SkullDataset(tmp_path / "s.zarr")[0]
    assert np.array_equal(item["defective"][0], skull)
    assert not item["implant"].any()


def test_wrong_keys_and_places_are_named(place, tmp_path):
    with pytest.raises(ValueError, match="unknown keys label; expected some of defective"):
        SkullDataset(place, ("label",))
    with pytest.raises(StoreError, match="no such store"):
        SkullDataset(tmp_path / "absent.zarr")
