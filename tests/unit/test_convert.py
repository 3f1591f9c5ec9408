"""`calvaria convert`: in other programs, a model's networks give the same predictions."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from calvaria import cli
from calvaria.config import Config, parse
from calvaria.errors import InputError
from calvaria.geometry.components import largest_component
from calvaria.geometry.grid import BONE
from calvaria.reconstruction.coarse.inference import extract_implant
from calvaria.reconstruction.coarse.network import new_network
from calvaria.reconstruction.export.ensemble import bone_on_grid, implant_network, input_files
from calvaria.reconstruction.export.model import export, load_model
from calvaria.storage.nifti_file import ALIGNED, nifti_bytes
from calvaria.training.weights import weights
from tests.unit.models import ARM, contents, small_config, write_run

# Keys that MONAI's schema of 2024-07-25 requires in metadata.json, and for every input and output.
REQUIRED = {
    "schema": str, "version": str, "monai_version": str, "pytorch_version": str, "numpy_version": str,
    "required_packages_version": dict, "task": str, "description": str, "authors": str, "copyright": str,
    "network_data_format": dict,
}  # fmt: skip
TENSOR = {
    "type": str, "format": str, "num_channels": int, "spatial_shape": list, "dtype": str, "value_range": list,
}  # fmt: skip


def some_config(predicts: str) -> Config:
    content = small_config(prior=0).model_dump(mode="json")
    content["train"] |= {"predicts": predicts, "completion": 6, "channels": [4, 4, 4]}
    content["grid"] = {"shape": [24, 32, 24], "spacing_mm": 7.5}
    return parse(content, "test")


def some_model(folder: Path, predicts: str) -> Path:
    """Write untrained networks with predictions around the threshold, and components of random skulls."""
    config = some_config(predicts)
    network = new_network(config, 0)
    generator = torch.Generator().manual_seed(0)
    assert network.completion is not None
    network.completion.start((torch.rand(9, 1, *config.grid.shape, generator=generator) > 0.6).float())
    with torch.no_grad():
        network.heads[0].bias.fill_(0.2 if predicts == "skull" else 0.0)
    run = write_run(folder / "run", config, weights(network, "network"))
    export(run, config, ARM, folder / "model")
    (folder / "model" / "LICENSE").write_text("for tests\n")
    return folder / "model"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return some_model(tmp_path_factory.mktemp("model"), "implant")


def a_case(model: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (x, y, z) uint8 labels, and calvaria's bool prediction of the implant on the grid."""
    predictor, _ = load_model(model, torch.device("cpu"))
    shape = predictor.grid.shape
    smooth = torch.rand(1, 1, *(n // 4 for n in shape), generator=torch.Generator().manual_seed(1))
    labels = (torch.nn.functional.interpolate(smooth, shape, mode="trilinear")[0, 0] > 0.55).byte().numpy()
    labels[:4] *= 2  # an implant, which must not reach the networks
    said = predictor.coarse_probabilities(labels[None])[0]
    return labels, extract_implant(said, labels == BONE, predictor.settings, predictor.predicts)


@pytest.mark.parametrize("predicts", ["implant", "skull"])
def test_one_network_answers_what_the_predictor_finds(tmp_path, predicts):
    """Mean probability, mirrored skulls and the exclusion of bone are part of the exported network."""
    model = some_model(tmp_path, predicts)
    labels, wanted = a_case(model)
    assert 100 < np.count_nonzero(wanted) < 0.6 * wanted.size
    network = implant_network(model)
    with torch.inference_mode():
        said = network(torch.from_numpy(labels == BONE)[None, None].float())[0, 0].numpy()
    assert np.array_equal(largest_component(said >= network.threshold), wanted)


def test_onnxruntime_gives_the_same_implant(model, tmp_path, monkeypatch):
    import onnxruntime

    path = tmp_path / "model.onnx"
    monkeypatch.setattr(
        "sys.argv", ["calvaria", "convert", "--to", "onnx", "--model", str(model), "--out", str(path)]
    )
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    labels, wanted = a_case(model)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    bone = (labels == BONE).astype(np.float32)[None, None]
    assert json.loads(about["grid_shape"]) == list(labels.shape)
    (said,) = session.run(["implant"], {"bone": bone})
    assert np.array_equal(largest_component(said[0, 0] >= float(about["threshold"])), wanted)
    assert str(Path.cwd()).encode() not in path.read_bytes()


def test_monai_runs_the_bundle_and_finds_the_same_implant(model, tmp_path):
    from monai.bundle import verify_net_in_out
    from monai.bundle.properties import InferProperties
    from monai.utils import BundleProperty, BundlePropertyConfig

    from calvaria.reconstruction.export.monai_bundle import write_bundle

    bundle = tmp_path / "bundle"
    write_bundle(model, bundle)
    copied = {name: content for name, content in contents(model).items() if name != "LICENSE"}
    assert contents(bundle / "models") == copied
    assert (bundle / "LICENSE").read_text() == "for tests\n"
    configs = [str(bundle / "configs" / name) for name in ("inference.json", "metadata.json")]
    about = json.loads(Path(configs[1]).read_text())
    formats = about["network_data_format"]
    for content, wanted in (
        (about, REQUIRED), (formats["inputs"]["image"], TENSOR), (formats["outputs"]["pred"], TENSOR),
    ):  # fmt: skip
        assert {key: type(content.get(key)) for key in wanted} == wanted

    labels, wanted = a_case(model)
    affine = implant_network(model).grid.affine
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.nii.gz").write_bytes(nifti_bytes(labels, affine, ALIGNED, packed=True))
    root = {"bundle_root": str(bundle)}
    workflow = json.loads(Path(configs[0]).read_text())
    for wanted_part in InferProperties.values():
        assert wanted_part[BundlePropertyConfig.ID] in workflow or not wanted_part[BundleProperty.REQUIRED]
    verify_net_in_out("network_def", configs[1], configs[0], **root)

    run = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json"]
    places = ["--dataset_dir", str(tmp_path / "in"), "--output_dir", str(tmp_path / "out")]
    done = subprocess.run([*run, *places], cwd=bundle, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    image = nibabel.load(tmp_path / "out" / "a_implant.nii.gz")
    assert np.array_equal(image.dataobj, wanted)
    assert image.get_data_dtype() == np.uint8
    assert image.affine == pytest.approx(affine)


def test_a_volume_on_another_grid_is_refused(model):
    from monai.data import MetaTensor

    grid = implant_network(model).grid
    labels = torch.ones(1, *grid.shape)
    assert bone_on_grid(MetaTensor(labels, torch.from_numpy(grid.affine)), grid).all()
    moved = grid.affine.copy()
    moved[0, 3] += 1
    for wrong in (MetaTensor(labels, moved), labels, MetaTensor(labels[:, 1:], grid.affine)):
        with pytest.raises(InputError, match=r"not on the model's grid: expected \(24, 32, 24\)"):
            bone_on_grid(wrong, grid)


def test_a_wrong_name_or_a_damaged_model_leaves_nothing(model, tmp_path):
    from calvaria.reconstruction.export.monai_bundle import write_bundle
    from calvaria.reconstruction.export.onnx import write_onnx

    with pytest.raises(InputError, match=r"expected a name that ends in \.onnx"):
        write_onnx(model, tmp_path / "model.bin")
    with pytest.raises(InputError, match=r"has no \.nii\.gz file.*--dataset_dir"):
        input_files(str(tmp_path))
    with pytest.raises(InputError, match=r"has no model\.json"):
        write_bundle(tmp_path, tmp_path / "bundle")
    assert not list(tmp_path.iterdir())
