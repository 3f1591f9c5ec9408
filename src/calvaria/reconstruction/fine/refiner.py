"""Inference with a trained fine network, in a window around the coarse prediction."""

from dataclasses import dataclass

import numpy as np
import torch

from calvaria.reconstruction.coarse.network import ReconstructionNetwork
from calvaria.reconstruction.fine.inputs import Frame, flipped_inputs
from calvaria.reconstruction.fine.network import fine_logits
from calvaria.reconstruction.fine.window import Window, window_around
from calvaria.reconstruction.masks import dilate

SURFACES = "surfaces"  # name of the training skulls' surfaces among the saved weights
HOLE_PROBABILITY = 0.2  # coarse probability from which a voxel's direction belongs to the hole
COMPONENT_MARGIN_VOXELS = 2  # around the coarse implant; probability further away is ignored


@dataclass(frozen=True)
class Refinement:
    """The fine network's output."""

    probability: np.ndarray  # (x, y, z) float32 of the implant on the window of the fine grid, 0 in bone
    bone: np.ndarray  # (x, y, z) bool on the same window, the remaining bone
    window: Window


@dataclass(frozen=True)
class Refiner:
    """A trained fine network and its settings."""

    network: ReconstructionNetwork  # in evaluation mode
    known: np.ndarray  # (n, 2, p) surfaces of the training skulls
    frame: Frame

    def refine(self, probability: np.ndarray, implant: np.ndarray, bone: np.ndarray) -> Refinement:
        """Predict the implant on the fine grid, as the mean over the skull and its mirror image.

        Args:
            probability: (i, j, k) float32 of the implant on the coarse grid.
            implant: (i, j, k) bool, the coarse implant; not empty.
            bone: (x, y, z) bool on the fine grid, the remaining bone.
        """
        device = next(self.network.parameters()).device
        window = window_around(implant, self.frame.settings, self.frame.grid)
        missing = dilate(implant, COMPONENT_MARGIN_VOXELS) & (probability > HOLE_PROBABILITY)
        inputs = flipped_inputs(bone, missing, window, self.known, self.frame).to(device)
        with torch.inference_mode():
            outputs = torch.sigmoid(fine_logits(self.network, inputs))[:, 0].float().cpu()
        mean = ((outputs[0] + outputs[1].flip(0)) / 2).numpy()
        part = bone[window.slices(self.frame.settings.factor)]
        return Refinement(np.where(part, 0, mean).astype(np.float32), part, window)
