"""evaluate: an arm's network predicts the implants of the test cohort; every prediction is scored."""

import math
from dataclasses import asdict

import numpy as np

from calvaria.config import Config
from calvaria.evaluation.metrics import score
from calvaria.grid import BONE, IMPLANT
from calvaria.paths import Run
from calvaria.store import read_tensors, write_shard


def evaluate(run: Run, config: Config, arm: str) -> None:
    """Writes the arm's evaluate store: the defective skulls with the predicted implants, and their scores."""
    import torch

    from calvaria.families.networks import restore
    from calvaria.learning.device import prepare_device
    from calvaria.reconstruction.network import ReconstructionNetwork
    from calvaria.reconstruction.prediction import predict

    device = prepare_device(config)
    network = ReconstructionNetwork(config.train)
    restore(network, read_tensors(run.train(arm) / "model.safetensors"), "network", device)
    cases = run.inject("test").rows()
    labels = np.stack(list(run.inject("test").volumes(cases)))
    implants = predict(network, torch.from_numpy(labels).to(device), config.evaluate)
    spacing = (config.grid.spacing_mm,) * 3
    volumes, rows = [], []
    for case, truth, implant in zip(cases, labels, implants, strict=True):
        defective = truth == BONE
        scores = asdict(score(implant, truth == IMPLANT, defective, spacing))
        finite = {name: value if math.isfinite(value) else None for name, value in scores.items()}
        about = {"case": case["index"], "person": case["person"], "recipe": case["recipe"]}
        rows.append({**about, **finite, "empty": not implant.any()})
        volumes.append(np.where(implant, IMPLANT, defective * BONE).astype(np.uint8))
    count = len(rows)
    write_shard(run.evaluate(arm), 0, count, count, config.grid.voxels(), np.stack(volumes), rows)
