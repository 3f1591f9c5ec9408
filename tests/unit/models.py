"""A small model overfitted to one operated head, and a finished run from which it is exported.

The network is trained for seconds on that case only. It is useless for other heads, but the processing from
input file to output files is the real one.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch

from calvaria.config import Config, dump, parse
from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.geometry.resample import resample
from calvaria.pipeline.manifest import digest, sha256
from calvaria.reconstruction.coarse.network import network_input, network_target, new_network
from calvaria.reconstruction.native_case import to_anchor
from calvaria.reconstruction.reconstruct import Options
from calvaria.reconstruction.surfaces.interpolation import surface_distances
from calvaria.reconstruction.surfaces.known import SURFACES, anchor_of
from calvaria.skull.pose import find_pose
from calvaria.skull.vault_map import picture_vault
from calvaria.sources import Scan
from calvaria.storage.paths import Run
from calvaria.storage.store import write_atomically, write_json, write_shard
from calvaria.storage.tensors import write_tensors
from calvaria.training.device import prepare_device
from calvaria.training.losses import dice_and_cross_entropy
from calvaria.training.weights import weights
from tests.unit.builders import write_nifti
from tests.unit.heads import head, with_hole

ARM = "plain"
HOLE_MM = 25.0
FILES = ("implant.nii.gz", "implant.stl", "checks.json")  # outputs of reconstruct

Weights = dict[str, np.ndarray]


def operated(spacing_mm: float) -> Scan:
    """Return the head: 1 remaining bone, 2 the part removed at the top right."""
    return with_hole(head(1, spacing_mm), HOLE_MM, IMPLANT)


def remaining(scan: Scan) -> Scan:
    """Return a scan without the removed part, as a mask."""
    return Scan((scan.labels == BONE).astype(np.uint8), scan.affine)


def small_config(prior: int, device: str = "cpu") -> Config:
    """Return a small config with a number of known skulls."""
    return parse(
        {
            "name": "small",
            "device": device,
            "grid": {"shape": [40, 48, 40], "spacing_mm": 4.5},
            "ingest": {"sources": {"phantom": {"kind": "phantom", "count": 4}}},
            "fit": {"real": {"kind": "real"}},
            "inject": {"recipes": {"spheres": {"kind": "spheres"}}},
            "train": {
                "arms": {ARM: {"families": {"real": 1}}},
                "channels": [8, 8, 16],
                "completion": 0,
                "prior": prior,
                "optimiser": {"steps": 2},
            },
            "evaluate": {"batch_size": 1},
        },
        "test",
    )


@cache
def learned(prior: int) -> Weights:
    """Return the weights of the network and, with a prior, the surfaces of that many copies of the head."""
    config = small_config(prior)
    prepare_device(config)
    scan = operated(2.0)
    pose = find_pose(scan.labels == BONE, scan.affine).to_box(np.array([0.0, 0.0, anchor_of(config)]))
    case = resample(scan.labels, scan.affine, pose, config.grid.voxels())
    network = new_network(config, 0)
    both = torch.from_numpy(np.stack([case, case[::-1]]))
    inputs = network_input(both, config.train.mirror)
    target = network_target(both, config.train.predicts)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        dice_and_cross_entropy(network(inputs), target).backward()
        optimiser.step()
    to_head = to_anchor(pose @ scan.affine, anchor_of(config))
    vault = picture_vault((scan.labels > 0).view(np.uint8), np.eye(4), to_head)
    surfaces = {SURFACES: surface_distances([vault] * prior)} if prior else {}
    return {**weights(network, "network"), **surfaces}


SCORES = {
    **dict.fromkeys(("dsc", "bdsc_10mm", "bdsc_10vox", "surface_dice_1mm"), 0.75),
    **dict.fromkeys(("hd95_mm", "assd_mm", "rim_gap_mm"), 1.5),
    "empty": False,
}
EMPTY = {**dict.fromkeys(SCORES), **dict.fromkeys(("dsc", "bdsc_10mm"), 0.0), "empty": True}


def write_run(root: Path, config: Config, tensors: Weights) -> Run:
    """Write the part of a finished run needed for export: two test cases, one with an empty prediction."""
    run = Run(root)
    write_atomically(run.config, dump(config))
    write_tensors(run.train(ARM, 0) / "model.safetensors", tensors)
    rows = [{"seed": 0, **scores} for scores in (SCORES, EMPTY)]
    grid = config.grid.voxels()
    write_shard(run.evaluate(ARM), 0, 2, 2, grid, np.zeros((2, *grid.shape), np.uint8), rows)
    weights = sorted(run.root.rglob("model.safetensors"))
    files = {path.relative_to(run.root).as_posix(): sha256(path) for path in weights}
    described = {"config": config.model_dump(mode="json"), "files": files, "digest": digest(files)}
    not_looked_at = {"seed": 0, "code": {}, "versions": {}, "hardware": {}, "precision": {}, "ancestry": {}}
    write_json(run.manifest, {**not_looked_at, **described})
    return run


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return everything below a folder, with the contents of files."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def options_for(folder: Path, mesh: str = "implant.stl", **settings: float) -> Options:
    return Options(folder / "implant.nii.gz", folder / mesh, folder / "checks.json", **settings)


def intact(folder: Path) -> Path:
    return write_nifti(folder / "bad.nii.gz", head(1, 3.0).labels, head(1, 3.0).affine)
