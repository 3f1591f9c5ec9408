"""Implant prediction for a skull in native space: coarse networks, interpolated surfaces, cut.

Used by `stages.evaluate` and, at several poses (`consensus`), by `reconstruct`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from calvaria.config import Config, Evaluate
from calvaria.geometry.components import largest_component
from calvaria.geometry.grid import BONE, Grid
from calvaria.geometry.region import Region, count_votes
from calvaria.geometry.resample import restore_level
from calvaria.reconstruction.coarse.inference import extract_implant, mean_probabilities
from calvaria.reconstruction.coarse.network import ReconstructionNetwork, coarse_architecture
from calvaria.reconstruction.masks import dilate
from calvaria.reconstruction.native_case import NativeCase, to_anchor
from calvaria.reconstruction.surfaces.cut import beyond_cone, cut_implant
from calvaria.reconstruction.surfaces.hole import hole_directions
from calvaria.reconstruction.surfaces.interpolation import interpolate
from calvaria.reconstruction.surfaces.known import SURFACES, anchor_of
from calvaria.training.weights import restore

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Prediction:
    """A predicted implant; all masks are empty if there is none."""

    coarse: np.ndarray  # (x, y, z) bool on the canonical grid, of the coarse networks alone
    implant: np.ndarray  # (x, y, z) bool on the canonical grid, between the surfaces if there is a prior
    region: Region  # of the native grid, outside of bone, one component by faces

    @property
    def native(self) -> np.ndarray:
        """The implant on the whole native grid, (i, j, k) bool."""
        return self.region.whole()


@dataclass(frozen=True)
class Predictor:
    """Trained networks, the surfaces of known skulls, and settings."""

    networks: tuple[ReconstructionNetwork, ...]  # coarse; their probabilities are averaged
    known: np.ndarray | None  # (n, 2, p) surfaces; without any, the coarse networks draw the implant
    anchor_mm: float  # height of the vault's anchor on the canonical grid
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
        if self.known is None:
            return Prediction(coarse, coarse, self._to_native(case, probability, coarse))
        vault = case.vault(self.anchor_mm)
        hole = hole_directions(vault, coarse, self.grid, self.anchor_mm)
        whole = interpolate(vault, hole, self.known)

        def implant(bone: np.ndarray, to_head: np.ndarray, drawn: Region) -> Region:
            """Cut between the surfaces, and join what the coarse networks have drawn beyond the vault map."""
            cut, rest = cut_implant(whole, hole, bone, to_head), beyond_cone(drawn, to_head)
            box, votes = count_votes([cut, rest])
            return Region(box, largest_component(votes > 0, connectivity=6), bone.shape)

        to_head = to_anchor(self.grid.affine, self.anchor_mm)
        drawn = Region.empty(case.native_labels.shape)
        if beyond_cone(Region.of(dilate(coarse)), to_head).values.any():
            drawn = self._to_native(case, probability, coarse)
        native = implant(case.native_bone, case.to_head(self.anchor_mm), drawn)
        if not native.values.any():  # there is no bone around the hole to continue
            return Prediction(coarse, coarse, self._to_native(case, probability, coarse))
        return Prediction(coarse, implant(bone, to_head, Region.of(coarse)).whole(), native)

    def _to_native(self, case: NativeCase, probability: np.ndarray, implant: np.ndarray) -> Region:
        """Resample the coarse implant to the native grid, outside of bone, one component by faces.

        Bone adjacent to the implant is set to 1, as the interpolated implant would otherwise end before it.
        Probability away from the implant is set to 0.
        """
        filled = np.where(case.labels == BONE, 1, probability)
        values = np.where(dilate(implant), filled, 0).astype(np.float32)
        shape, level = case.native_labels.shape, self.settings.threshold
        region = restore_level(values, level, implant, self.grid.affine, case.affine, case.pose, shape)
        outside = np.ascontiguousarray(region.values & (case.native_labels[region.box] != BONE))
        return replace(region, values=largest_component(outside, connectivity=6))


def build_predictor(config: Config, networks: Mapping[int, Weights], device: torch.device) -> Predictor:
    """Build a predictor from named weights.

    Args:
        networks: weights of an arm's networks by seed, with its known surfaces.
    """
    members = []
    for tensors in networks.values():
        network = coarse_architecture(config)
        restore(network, tensors, "network", device)
        members.append(network)
    known = next(iter(networks.values())).get(SURFACES)  # the same for all networks of an arm
    train, grid = config.train, config.grid.voxels()
    return Predictor(
        tuple(members), known, anchor_of(config), grid, config.evaluate, train.predicts, train.mirror
    )
