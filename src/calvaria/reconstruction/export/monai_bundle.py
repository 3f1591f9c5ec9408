"""A model as a MONAI bundle, a folder that ``python -m monai.bundle run`` executes.

``models`` is the model's own folder, so its weights are safetensors and checked against their digests, and
``calvaria reconstruct --model BUNDLE/models`` accepts it, too. Running the bundle requires calvaria as
well as MONAI.

Specification: https://docs.monai.io/en/stable/mb_specification.html
"""

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from calvaria import __version__
from calvaria.reconstruction.export.ensemble import ImplantNetwork, implant_network
from calvaria.reconstruction.export.model import model_files
from calvaria.storage.outputs import check_new, new_folder
from calvaria.storage.store import read_json

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
NEEDED = ("nibabel", "pytorch-ignite", "safetensors", "scikit-image")  # besides MONAI, torch and calvaria
PARTS = Path(__file__).parent / "bundle_parts"
IF_ANY = {"LICENSE": "LICENSE", "README.md": "docs/MODEL.md"}  # optional files of the model's folder
NO_LICENCE = (
    "The licence of these weights depends on that of the skulls they were learned from. Write it here\n"
    "before you pass them on. The calvaria software itself is under the Apache License 2.0.\n"
)


def write_bundle(model: Path, out: Path) -> None:
    """Write a model as a bundle into a new folder.

    Raises:
        InputError: if the folder is not a model, or ``out`` is in use or cannot be written.
        StoreError: if a file of the model is damaged.
    """
    check_new(out)
    network = implant_network(model)
    about = read_json(model / "model.json")
    with new_folder(out) as folder:
        for name in ("configs", "models", "docs"):
            (folder / name).mkdir()
        for name in model_files(model):
            shutil.copyfile(model / name, folder / "models" / name)
        for name, target in IF_ANY.items():
            if (model / name).is_file():
                shutil.copyfile(model / name, folder / target)
        if not (folder / "LICENSE").exists():
            (folder / "LICENSE").write_text(NO_LICENCE, encoding="utf-8")
        shutil.copyfile(PARTS / "inference.json", folder / "configs" / "inference.json")
        shutil.copyfile(PARTS / "README.md", folder / "docs" / "README.md")
        text = json.dumps(metadata(network, about), indent=2) + "\n"
        (folder / "configs" / "metadata.json").write_text(text, encoding="utf-8")


def metadata(network: ImplantNetwork, about: dict[str, Any]) -> dict[str, Any]:
    """Return the content of ``configs/metadata.json``, given the model's ``model.json``."""
    tensor = {
        "type": "image",
        "num_channels": 1,
        "spatial_shape": list(network.grid.shape),
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
    }
    return {
        "schema": SCHEMA,
        "version": __version__,
        "changelog": {__version__: f"arm {about['arm']} of run {about['run']}, {about['run_digest']}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").split("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {"calvaria": __version__, **{name: version(name) for name in NEEDED}},
        "name": "calvaria implant",
        "task": "From the remaining bone of a skull to its missing piece, on a coarse grid",
        "description": "The networks of one arm, averaged, with their mirrored skulls. Input is a skull in "
        f"the Frankfurt plane on a grid of {network.grid.spacing_mm:g} mm. calvaria's pose and "
        "surfaces are not part of it: what calvaria reconstruct makes of a scan is finer.",
        "authors": "The calvaria authors",
        "copyright": "See LICENSE",
        "data_type": "nibabel",
        "image_classes": "1 remaining bone; any other label is taken for background",
        "pred_classes": "1 implant",
        "intended_use": "Research only; not a medical device",
        "network_data_format": {
            "inputs": {"image": {**tensor, "format": "segmentation", "channel_def": {"0": "remaining bone"}}},
            "outputs": {"pred": {**tensor, "format": "segmentation", "channel_def": {"0": "implant"}}},
        },
    }
