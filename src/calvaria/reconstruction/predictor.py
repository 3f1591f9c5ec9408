"""From a defective skull in its scan to the implant in its scan: coarse network, fine network, and back.

``evaluate`` and ``reconstruct`` both go this way, so what is scored is what a user gets.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from calvaria.config import Config, Evaluate, Refine
from calvaria.conform.resample import resample, restore_level
from calvaria.families.networks import restore
from calvaria.grid import BONE, Grid
from calvaria.reconstruction.network import ReconstructionNetwork
from calvaria.reconstruction.prediction import implant_of, largest_piece, probabilities
from calvaria.reconstruction.refining import fine_grid, new_fine_network, refined
from calvaria.reconstruction.training import new_network

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Predictor:
    """Trained networks and how they are used."""

    networks: tuple[ReconstructionNetwork, ...]  # on the grid; their mean counts
    fine_network: ReconstructionNetwork | None
    grid: Grid
    settings: Evaluate
    refine: Refine | None
    predicts: str
    mirror: bool

    @property
    def device(self) -> torch.device:
        return next(self.networks[0].parameters()).device


def build_predictor(
    config: Config, networks: Mapping[int, Weights], fine: Weights | None, device: torch.device
) -> Predictor:
    """A predictor from weights by name: those of an arm's networks by their seed, and of the fine network."""
    members = []
    for seed, tensors in networks.items():
        network = new_network(config, seed)
        restore(network, tensors, "network", device)
        members.append(network)
    fine_network = None
    if fine is not None:
        fine_network = new_fine_network(config)
        restore(fine_network, fine, "network", device)
    train = config.train
    return Predictor(
        tuple(members),
        fine_network,
        config.grid.voxels(),
        config.evaluate,
        config.refine,
        train.predicts,
        train.mirror,
    )


@dataclass(frozen=True)
class Found:
    """A predicted implant."""

    coarse: np.ndarray  # (x, y, z) bool on the grid
    own: np.ndarray  # (i, j, k) bool on the scan's grid, outside of its bone


def coarse_probabilities(predictor: Predictor, cases: np.ndarray) -> np.ndarray:
    """(n, x, y, z) float32 of cases (n, x, y, z) uint8, of which only the remaining bone is looked at."""
    batch = torch.from_numpy(cases).to(predictor.device)
    return probabilities(predictor.networks, batch, predictor.settings, predictor.mirror)


def predict_implant(
    predictor: Predictor,
    case: np.ndarray,
    probability: np.ndarray,
    scan: np.ndarray,
    affine: np.ndarray,
    pose: np.ndarray,
) -> Found:
    """The implant of one skull, on the grid and in its scan.

    Args:
        case: (x, y, z) uint8, the remaining bone on the grid as label 1.
        probability: (x, y, z) float32 of this case, as of ``coarse_probabilities``.
        scan: (i, j, k) bool, the remaining bone in the scan.
        affine: (4, 4) the scan's voxel indices to RAS+ millimetres.
        pose: (4, 4) rigid, from these millimetres to the box's.
    """
    bone = case == BONE
    coarse = implant_of(probability, bone, predictor.settings, predictor.predicts)
    if not coarse.any():
        return Found(coarse, np.zeros(scan.shape, bool))
    level = predictor.settings.threshold
    to_world = predictor.grid.affine
    if predictor.fine_network is None or predictor.refine is None:
        # Beside the implant, what the network says of other places must not come back in.
        near = _grown(coarse)
        field = np.where(near, probability, 0).astype(np.float32)
        where = coarse
    else:
        factor = predictor.refine.factor
        fine = fine_grid(predictor.grid, factor)
        fine_bone = resample(scan.view(np.uint8), affine, pose, fine) == BONE
        field, window = refined(
            predictor.fine_network, probability, coarse, fine_bone, predictor.refine, predictor.grid
        )
        where = largest_piece(field >= level)
        field = np.where(_grown(where), field, 0).astype(np.float32)
        to_world = fine.affine.copy()
        to_world[:3, 3] += fine.spacing_mm * np.array(window.low) * factor
    own = restore_level(field, level, where, to_world, affine, pose, scan.shape) > 0
    return Found(coarse, largest_piece(own & ~scan))


def _grown(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask, np.ones((3, 3, 3))))
