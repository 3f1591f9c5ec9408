"""A model's coarse networks as one network, for MONAI bundles and ONNX.

It includes what `calvaria.reconstruction.coarse.inference` does around them: the mean, the mirrored channel,
the flipped skull, and the exclusion of bone. Pose estimation, scans and the fine network are not included.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from calvaria.errors import InputError
from calvaria.geometry.grid import BONE, Grid
from calvaria.reconstruction.coarse.network import network_input
from calvaria.reconstruction.export.model import load_model
from calvaria.reconstruction.predictor import Predictor

SAME_GRID_MM = 0.01  # headers round their directions and origins


class ImplantNetwork(torch.nn.Module):
    """(n, 1, x, y, z) float32 remaining bone on the grid, 0.0 or 1.0, to the probability of the implant.

    The answer has the shape of the input. The implant is where it reaches ``threshold``; it may still be in
    several pieces, of which calvaria keeps the largest, by 26 neighbours.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.networks = torch.nn.ModuleList(predictor.networks)
        self.grid, self.mirror, self.predicts = predictor.grid, predictor.mirror, predictor.predicts
        self.flip, self.threshold = predictor.settings.flip, predictor.settings.threshold

    def forward(self, bone: torch.Tensor) -> torch.Tensor:
        seen = network_input(bone[:, 0], self.mirror)  # label 1 is bone, and so is 1.0
        answers = [torch.sigmoid(network(seen)) for network in self.networks]
        if self.flip:
            answers += [torch.sigmoid(network(seen.flip(2))).flip(2) for network in self.networks]
        outside = torch.where(bone > 0, 0.0, torch.stack(answers).mean(0))
        if self.predicts == "implant":
            return outside
        # Of a complete skull, as `implant_of` opens it: what no block of 2 x 2 x 2 fills is no implant.
        found = (outside >= self.threshold).float()
        filled = -functional.max_pool3d(-found, 2, 1)
        opened = functional.max_pool3d(functional.pad(filled, (1,) * 6), 2, 1)
        return torch.where(found > opened, 0.0, outside)


def implant_network(model: Path | str, device: torch.device | str = "cpu") -> ImplantNetwork:
    """The network of a folder that ``calvaria export`` wrote, ready to predict.

    Raises:
        InputError, StoreError: as of `calvaria.reconstruction.export.model.load_model`.
    """
    predictor, _ = load_model(Path(model), torch.device(device))
    return ImplantNetwork(predictor).eval()


def input_files(folder: str) -> list[dict[str, str]]:
    """The files of a folder as items of a data set.

    Raises:
        InputError: if there are none; MONAI would do nothing, and call that success.
    """
    found = sorted(Path(folder).glob("*.nii.gz"))
    if not found:
        raise InputError(f"{folder}: has no .nii.gz file; name the folder of your skulls: --dataset_dir")
    return [{"image": str(file)} for file in found]


def bone_on_grid(labels: torch.Tensor, grid: Grid) -> torch.Tensor:
    """What the network sees of labels (1, x, y, z) as MONAI loads them, with their affine.

    Returns:
        the same with 1.0 in the remaining bone, label 1, and 0.0 elsewhere.

    Raises:
        InputError: if they lie on another grid; a network would answer, but wrongly.
    """
    affine = np.asarray(getattr(labels, "affine", np.eye(4)), np.float64)
    shape = tuple(labels.shape[1:])
    if shape != grid.shape or np.abs(affine - grid.affine).max() > SAME_GRID_MM:
        raise InputError(
            f"a volume of {shape} voxels with the affine {affine.tolist()} is not on the model's grid: "
            f"wanted {grid.shape} and {grid.affine.tolist()}; calvaria extract writes such files, and "
            "calvaria reconstruct takes any scan"
        )
    return (labels == BONE).float()
