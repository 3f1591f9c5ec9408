"""A model's coarse networks as one network, for MONAI bundles and ONNX.

It includes the steps of `calvaria.reconstruction.coarse.inference` around them: the mean, the mirrored
channel, the flipped skull, and the exclusion of bone. Pose estimation, scans and surfaces are not included.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from calvaria.errors import InputError
from calvaria.geometry.grid import BONE, Grid
from calvaria.reconstruction.coarse.network import mean_probability, network_input
from calvaria.reconstruction.export.model import load_model
from calvaria.reconstruction.predictor import Predictor

SAME_GRID_MM = 0.01  # tolerance, as headers contain rounded directions and origins


class ImplantNetwork(torch.nn.Module):
    """Map remaining bone, (n, 1, x, y, z) float32 0.0 or 1.0 on the grid, to the probability of the implant.

    The output has the shape of the input. The implant is where it reaches ``threshold``; it may still have
    several connected components, of which calvaria keeps the largest, by 26 neighbours.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.networks = torch.nn.ModuleList(predictor.networks)
        self.grid, self.mirror, self.predicts = predictor.grid, predictor.mirror, predictor.predicts
        self.flip, self.threshold = predictor.settings.flip, predictor.settings.threshold

    def forward(self, bone: torch.Tensor) -> torch.Tensor:
        """Return the probability of the implant."""
        inputs = network_input(bone[:, 0], self.mirror)  # label 1 is bone, and so is 1.0
        outside = torch.where(bone > 0, 0.0, mean_probability(self.networks, inputs, self.flip))
        if self.predicts == "implant":
            return outside
        # Binary opening with 2 x 2 x 2 voxels, as in `extract_implant` of a complete skull.
        mask = (outside >= self.threshold).float()
        eroded = -functional.max_pool3d(-mask, 2, 1)
        opened = functional.max_pool3d(functional.pad(eroded, (1,) * 6), 2, 1)
        return torch.where(mask > opened, 0.0, outside)


def implant_network(model: Path | str, device: torch.device | str = "cpu") -> ImplantNetwork:
    """Load the network of a folder that ``calvaria export`` wrote, in evaluation mode.

    Raises:
        InputError, StoreError: as for `calvaria.reconstruction.export.model.load_model`.
    """
    predictor, _ = load_model(Path(model), torch.device(device))
    return ImplantNetwork(predictor).eval()


def input_files(folder: str) -> list[dict[str, str]]:
    """Return the files of a folder as items of a data set.

    Raises:
        InputError: if there are none; MONAI would do nothing and report success.
    """
    files = sorted(Path(folder).glob("*.nii.gz"))
    if not files:
        raise InputError(f"{folder}: has no .nii.gz file; name the folder of your skulls: --dataset_dir")
    return [{"image": str(file)} for file in files]


def bone_on_grid(labels: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return the network input of labels (1, x, y, z) that MONAI loaded with their affine.

    Returns:
        (1, x, y, z) float32, 1.0 in the remaining bone, label 1, and 0.0 elsewhere.

    Raises:
        InputError: if the labels lie on another grid, where predictions would be wrong.
    """
    affine = np.asarray(getattr(labels, "affine", np.eye(4)), np.float64)
    shape = tuple(labels.shape[1:])
    if shape != grid.shape or np.abs(affine - grid.affine).max() > SAME_GRID_MM:
        raise InputError(
            f"a volume of {shape} voxels with the affine {affine.tolist()} is not on the model's grid: "
            f"expected {grid.shape} and {grid.affine.tolist()}; calvaria extract writes such files, and "
            "calvaria reconstruct takes any scan"
        )
    return (labels == BONE).float()
