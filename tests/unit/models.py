"""A small model overfitted to one operated head, and a finished run from which it is exported.

The networks are trained for seconds on that case only. They are useless for other heads, but the processing
from input file to output files is the real one.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch

from calvaria.config import Config, dump, parse
from calvaria.geometry.grid import BONE, IMPLANT
from calvaria.geometry.resample import resample
from calvaria.pipeline.manifest import digest, sha256
from calvaria.reconstruction.coarse.inference import extract_implant, mean_probabilities
from calvaria.reconstruction.coarse.network import (
    ReconstructionNetwork,
    network_input,
    network_target,
    new_network,
)
from calvaria.reconstruction.fine.inputs import Frame, flipped_inputs
from calvaria.reconstruction.fine.interpolation import surface_distances
from calvaria.reconstruction.fine.network import fine_logits, new_fine_network
from calvaria.reconstruction.fine.refiner import HOLE_PROBABILITY, SURFACES
from calvaria.reconstruction.fine.window import window_around
from calvaria.reconstruction.masks import dilate
from calvaria.reconstruction.reconstruct import Options
from calvaria.skull.pose import find_pose
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
FACTOR = 2
HOLE_MM = 25.0
FILES = ("implant.nii.gz", "implant.stl", "checks.json")  # outputs of reconstruct

Weights = dict[str, np.ndarray]


def operated(spacing_mm: float) -> Scan:
    """Return the head: 1 remaining bone, 2 the part removed at the top right."""
    return with_hole(head(1, spacing_mm), HOLE_MM, IMPLANT)


def remaining(scan: Scan) -> Scan:
    """Return a scan without the removed part, as a mask."""
    return Scan((scan.labels == BONE).astype(np.uint8), scan.affine)


def small_config(refine: bool, device: str = "cpu") -> Config:
    """Return a small config with or without a fine network."""
    fine = {"factor": FACTOR, "window_mm": 60.0, "margin_mm": 6.0, "channels": [8, 8, 16]}
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
                "optimiser": {"steps": 2},
            },
            "refine": {**fine, "optimiser": {"steps": 2}} if refine else None,
            "evaluate": {"batch_size": 1},
        },
        "test",
    )


@cache
def learned() -> tuple[Weights, Weights]:
    """Return the weights of the coarse and of the fine network."""
    config = small_config(refine=True)
    prepare_device(config)
    assert config.refine is not None
    frame = Frame.of(config)
    scan = operated(2.0)
    pose = find_pose(scan.labels == BONE, scan.affine).to_box(np.array([0.0, 0.0, frame.anchor_mm]))
    case, fine = (resample(scan.labels, scan.affine, pose, grid) for grid in (frame.grid, frame.fine))

    first = new_network(config, 0)
    both = torch.from_numpy(np.stack([case, case[::-1]]))
    _learn(first, network_input(both, config.train.mirror), network_target(both, config.train.predicts), 60)

    said = mean_probabilities([first], torch.from_numpy(case)[None], config.evaluate, config.train.mirror)[0]
    found = extract_implant(said, case == BONE, config.evaluate, config.train.predicts)
    known = surface_distances([frame.vault_image(fine > 0)] * 2)
    window = window_around(found, config.refine, frame.grid)
    seen = flipped_inputs(fine == BONE, dilate(found, 2) & (said > HOLE_PROBABILITY), window, known, frame)
    target = torch.from_numpy((fine == IMPLANT)[window.slices(FACTOR)].astype(np.float32))
    second = new_fine_network(config)
    _learn(second, seen, torch.stack([target, target.flip(0)])[:, None], 40, fine_logits)
    return weights(first, "network"), {**weights(second, "network"), SURFACES: known}


def _learn(
    network: ReconstructionNetwork,
    seen: torch.Tensor,
    target: torch.Tensor,
    steps: int,
    logits: Callable[..., torch.Tensor] = ReconstructionNetwork.forward,
) -> None:
    optimiser = torch.optim.AdamW(network.parameters(), 1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        dice_and_cross_entropy(logits(network, seen), target).backward()
        optimiser.step()
    network.eval()


SCORES = {
    **dict.fromkeys(("dsc", "bdsc_10mm", "bdsc_10vox", "surface_dice_1mm"), 0.75),
    **dict.fromkeys(("hd95_mm", "assd_mm", "rim_gap_mm"), 1.5),
    "empty": False,
}
EMPTY = {**dict.fromkeys(SCORES), **dict.fromkeys(("dsc", "bdsc_10mm"), 0.0), "empty": True}


def write_run(root: Path, config: Config, first: Weights, second: Weights) -> Run:
    """Write the part of a finished run needed for export: two test cases, one with an empty prediction."""
    run = Run(root)
    write_atomically(run.config, dump(config))
    write_tensors(run.train(ARM, 0) / "model.safetensors", first)
    if config.refine is not None:
        write_tensors(run.refine / "model.safetensors", second)
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
