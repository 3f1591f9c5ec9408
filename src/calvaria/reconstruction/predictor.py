"""From a defective skull in its scan to the implant in its scan: coarse network, fine network, and back.

``evaluate`` and ``reconstruct`` both go this way; the latter at several poses (`consensus`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from calvaria.config import Config, Evaluate
from calvaria.geometry.grid import BONE, Grid
from calvaria.geometry.resample import resample, restore_level
from calvaria.reconstruction.coarse.inference import grown, implant_of, largest_piece, probabilities
from calvaria.reconstruction.coarse.network import ReconstructionNetwork, new_network
from calvaria.reconstruction.fine.network import SURFACES, Frame, Refiner, new_fine_network, refined
from calvaria.training.weights import restore

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Predictor:
    """Trained networks and how they are used."""

    networks: tuple[ReconstructionNetwork, ...]  # on the grid; their mean counts
    refiner: Refiner | None
    grid: Grid
    settings: Evaluate
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
    refiner = None
    if fine is not None:
        fine_network = new_fine_network(config)
        restore(fine_network, fine, "network", device)
        refiner = Refiner(fine_network, fine[SURFACES], Frame.of(config))
    train = config.train
    return Predictor(
        tuple(members),
        refiner,
        config.grid.voxels(),
        config.evaluate,
        train.predicts,
        train.mirror,
    )


@dataclass(frozen=True)
class Found:
    """A predicted implant."""

    coarse: np.ndarray  # (x, y, z) bool on the grid: what the arm's networks say alone
    implant: np.ndarray  # (x, y, z) bool on the grid: with the fine network, if there is one
    own: (
        np.ndarray
    )  # (i, j, k) bool on the scan's grid, outside of its bone, one piece by faces: the same, as scored


def coarse_probabilities(predictor: Predictor, cases: np.ndarray) -> np.ndarray:
    """(n, x, y, z) float32 of cases (n, x, y, z) uint8, of which only the remaining bone is looked at."""
    batch = torch.from_numpy(cases).to(predictor.device)
    return probabilities(predictor.networks, batch, predictor.settings, predictor.mirror)


def fine_bone(
    predictor: Predictor, scan: np.ndarray, affine: np.ndarray, pose: np.ndarray
) -> np.ndarray | None:
    """The remaining bone, (x, y, z) bool, on the grid of the fine network, if there is one.

    The arguments are as of ``predict_implant``.
    """
    if predictor.refiner is None:
        return None
    return np.asarray(resample(scan.view(np.uint8), affine, pose, predictor.refiner.frame.fine) == BONE)


def predict_implant(
    predictor: Predictor,
    case: np.ndarray,
    probability: np.ndarray,
    fine: np.ndarray | None,
    scan: np.ndarray,
    affine: np.ndarray,
    pose: np.ndarray,
) -> Found:
    """The implant of one skull, on the grid and in its scan.

    Args:
        case: (x, y, z) uint8, the remaining bone on the grid as label 1.
        probability: (x, y, z) float32 of this case, as of ``coarse_probabilities``.
        fine: as of ``fine_bone``.
        scan: (i, j, k) bool, the remaining bone in the scan.
        affine: (4, 4) the scan's voxel indices to RAS+ millimetres.
        pose: (4, 4) rigid, from these millimetres to the box's.
    """
    bone = case == BONE
    coarse = implant_of(probability, bone, predictor.settings, predictor.predicts)
    if not coarse.any():
        return Found(coarse, coarse, np.zeros(scan.shape, bool))
    level = predictor.settings.threshold
    to_world = predictor.grid.affine
    if predictor.refiner is None or fine is None:
        field, remaining, where, implant = probability, bone, coarse, coarse
    else:
        field, window = refined(predictor.refiner, probability, coarse, fine)
        factor = predictor.refiner.frame.settings.factor
        remaining = fine[window.slices(factor)]
        where = largest_piece(field >= level)
        implant = np.zeros_like(bone)
        implant[window.slices()] = mostly(where, factor)
        implant &= ~bone
        to_world = predictor.refiner.frame.fine.affine.copy()
        to_world[:3, 3] += predictor.grid.spacing_mm * np.array(window.low)
    # Beside the implant bone counts as full, or what is interpolated would end before it; and what networks
    # say of other places must not come back in.
    field = np.where(grown(where), np.where(remaining, 1, field), 0).astype(np.float32)
    own = restore_level(field, level, where, to_world, affine, pose, scan.shape) > 0
    return Found(coarse, implant, largest_piece(own & ~scan, connectivity=6))


def mostly(mask: np.ndarray, factor: int) -> np.ndarray:
    """(x, y, z) bool: whether at least half of the factor cubed voxels of a finer (x, y, z) mask are set."""
    x, y, z = (n // factor for n in mask.shape)
    count = mask.reshape(x, factor, y, factor, z, factor).sum(axis=(1, 3, 5))
    return np.asarray(2 * count >= factor**3)
