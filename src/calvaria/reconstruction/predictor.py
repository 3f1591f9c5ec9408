"""Implant prediction for a skull in native space: coarse network, fine network, inverse resampling.

Used by `stages.evaluate` and, at several poses (`consensus`), by `reconstruct`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from calvaria.config import Config, Evaluate
from calvaria.geometry.components import largest_component
from calvaria.geometry.grid import BONE, Grid
from calvaria.geometry.region import Region
from calvaria.geometry.resample import restore_level
from calvaria.reconstruction.coarse.inference import extract_implant, mean_probabilities
from calvaria.reconstruction.coarse.network import ReconstructionNetwork, coarse_architecture
from calvaria.reconstruction.fine.inputs import Frame
from calvaria.reconstruction.fine.network import fine_architecture
from calvaria.reconstruction.fine.refiner import SURFACES, Refiner
from calvaria.reconstruction.masks import block_majority, dilate
from calvaria.reconstruction.native_case import NativeCase
from calvaria.training.weights import restore

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Prediction:
    """A predicted implant; all masks are empty if there is none."""

    coarse: np.ndarray  # (x, y, z) bool on the canonical grid, of the coarse networks alone
    implant: np.ndarray  # (x, y, z) bool on the canonical grid, of the fine network if there is one
    region: Region  # of the native grid, outside of bone, one component by faces

    @property
    def native(self) -> np.ndarray:
        """The implant on the whole native grid, (i, j, k) bool."""
        return self.region.whole()


@dataclass(frozen=True)
class _Probability:
    """The implant's probability on a window of the coarse or the fine grid."""

    values: np.ndarray  # (x, y, z) float32
    bone: np.ndarray  # (x, y, z) bool, the remaining bone
    mask: np.ndarray  # (x, y, z) bool, the implant
    affine: np.ndarray  # (4, 4) voxel indices to canonical millimetres


@dataclass(frozen=True)
class Predictor:
    """Trained networks and their settings."""

    networks: tuple[ReconstructionNetwork, ...]  # coarse; their probabilities are averaged
    refiner: Refiner | None
    grid: Grid  # the canonical grid
    settings: Evaluate
    predicts: str
    mirror: bool

    @property
    def device(self) -> torch.device:
        """The device of the coarse networks."""
        return next(self.networks[0].parameters()).device

    def predict(self, case: NativeCase) -> Prediction:
        """Predict the implant of one case."""
        (prediction,) = self.predict_many([case])
        return prediction

    def predict_many(self, cases: Sequence[NativeCase]) -> Iterator[Prediction]:
        """Predict the implants of several cases, in batches of ``evaluate.batch_size``.

        The result for a case does not depend on the others.
        """
        if not cases:
            return
        probabilities = self.coarse_probabilities(np.stack([case.labels for case in cases]))
        for case, probability in zip(cases, probabilities, strict=True):
            yield self._predict(case, probability)

    def coarse_probabilities(self, labels: np.ndarray) -> np.ndarray:
        """Return the coarse networks' mean probability.

        Args:
            labels: (n, x, y, z) uint8 on the canonical grid, of which only the remaining bone is used.

        Returns:
            (n, x, y, z) float32, of the implant or of the complete skull (``predicts``).
        """
        batch = torch.from_numpy(labels).to(self.device)
        return mean_probabilities(self.networks, batch, self.settings, self.mirror)

    def _predict(self, case: NativeCase, probability: np.ndarray) -> Prediction:
        bone = case.labels == BONE
        coarse = extract_implant(probability, bone, self.settings, self.predicts)
        if not coarse.any():
            return Prediction(coarse, coarse, Region.empty(case.native_labels.shape))
        if self.refiner is None:
            native = self._to_native(case, _Probability(probability, bone, coarse, self.grid.affine))
            return Prediction(coarse, coarse, native)
        refinement = self.refiner.refine(probability, coarse, case.bone_on(self.refiner.frame.fine))
        mask = largest_component(refinement.probability >= self.settings.threshold)
        implant = np.zeros_like(bone)
        implant[refinement.window.slices()] = block_majority(mask, self.refiner.frame.settings.factor)
        implant &= ~bone
        affine = self.refiner.frame.fine.affine.copy()
        affine[:3, 3] += self.grid.spacing_mm * np.array(refinement.window.low)
        fine = _Probability(refinement.probability, refinement.bone, mask, affine)
        return Prediction(coarse, implant, self._to_native(case, fine))

    def _to_native(self, case: NativeCase, implant: _Probability) -> Region:
        """Resample the implant to the native grid, outside of bone, one component by faces.

        Bone adjacent to the implant is set to 1, as the interpolated implant would otherwise end before it.
        Probability away from the implant is set to 0.
        """
        level, mask = self.settings.threshold, implant.mask
        filled = np.where(implant.bone, 1, implant.values)
        values = np.where(dilate(mask), filled, 0).astype(np.float32)
        shape = case.native_labels.shape
        region = restore_level(values, level, mask, implant.affine, case.affine, case.pose, shape)
        outside = np.ascontiguousarray(region.values & (case.native_labels[region.box] != BONE))
        return replace(region, values=largest_component(outside, connectivity=6))


def build_predictor(
    config: Config, networks: Mapping[int, Weights], fine: Weights | None, device: torch.device
) -> Predictor:
    """Build a predictor from named weights.

    Args:
        networks: weights of the coarse networks by seed.
        fine: weights of the fine network and the training skulls' surfaces, if the config has one.
    """
    members = []
    for tensors in networks.values():
        network = coarse_architecture(config)
        restore(network, tensors, "network", device)
        members.append(network)
    refiner = None
    if fine is not None:
        fine_network = fine_architecture(config)
        restore(fine_network, fine, "network", device)
        refiner = Refiner(fine_network, fine[SURFACES], Frame.of(config))
    train = config.train
    return Predictor(
        tuple(members), refiner, config.grid.voxels(), config.evaluate, train.predicts, train.mirror
    )
