"""Linear models from which networks start: means and principal components."""

import torch

from calvaria.training.folding import fold
from calvaria.training.principal_components import principal_components, with_positive_peaks

BLOCK_CHANNELS = 16, 16  # the least number, and voxels of a block per channel


def linear(folded: int, channels: int) -> tuple[torch.nn.Conv3d, torch.nn.Conv3d]:
    """Return 1 x 1 x 1 convolutions from folded blocks of voxels to a few channels, and back."""
    return (
        torch.nn.Conv3d(folded, channels, 1, bias=False),
        torch.nn.Conv3d(channels, folded, 1, bias=False),
    )


def start_linear(
    project: torch.nn.Conv3d, expand: torch.nn.Conv3d, differences: torch.Tensor, factor: int
) -> None:
    """Set the layers of ``linear`` to the principal components of blocks of (n, c, x, y, z) differences."""
    covariance = torch.zeros(project.in_channels, project.in_channels, dtype=torch.float64)
    for difference in differences:
        rows = fold(difference[None], factor)[0].flatten(1).double()
        covariance += rows @ rows.T
    found = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, : project.out_channels].float()
    found = with_positive_peaks(found.T).T
    with torch.no_grad():
        project.weight.copy_(found.T[..., None, None, None])
        expand.weight.copy_(found[..., None, None, None])


def silent(inputs: int, outputs: int) -> torch.nn.Conv3d:
    """Return a last layer whose output is zero before training."""
    layer = torch.nn.Conv3d(inputs, outputs, 1)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    return layer


class Gaussian(torch.nn.Module):
    """A Gaussian of volumes: mean and principal components."""

    mean: torch.Tensor
    components: torch.Tensor
    deviations: torch.Tensor

    def __init__(self, shape: tuple[int, ...], modes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, *shape))
        self.register_buffer("components", torch.zeros(modes, *shape))
        self.register_buffer("deviations", torch.ones(modes))

    def start(self, values: torch.Tensor) -> None:
        """Fit the Gaussian to (n, c, i, j, k) values."""
        self.mean.copy_(values.mean(0))
        rows = (values - values.mean(0)).flatten(1).double()
        found, squares = principal_components(rows, len(self.deviations))
        self.components.copy_(found.view_as(self.components))
        self.deviations.copy_(squares[: len(self.deviations)].clamp(min=1e-6).sqrt())

    def coordinates(self, values: torch.Tensor) -> torch.Tensor:
        """Return the (n, modes) coordinates of values along the components, in standard deviations."""
        return self._inside(values - self.mean) / self.deviations

    def at(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Return the values (n, c, i, j, k) at coordinates (n, modes)."""
        spread = torch.einsum("nm,mcijk->ncijk", coordinates * self.deviations, self.components)
        return self.mean + spread

    def along(self, values: torch.Tensor) -> torch.Tensor:
        """Return the projection of values on the components."""
        return torch.einsum("nm,mcijk->ncijk", self._inside(values), self.components)

    def _inside(self, values: torch.Tensor) -> torch.Tensor:
        return torch.einsum("ncijk,mcijk->nm", values, self.components)


class ShapeModel(torch.nn.Module):
    """A linear model of skulls: mean and principal components, of blocks of voxels, then of all blocks.

    Its coordinates are modelled as standard normal. It is not trained; a network learns the residual.
    """

    mean: torch.Tensor

    def __init__(self, shape: tuple[int, int, int], inputs: int, patch: int, modes: int) -> None:
        super().__init__()
        self.patch, self.modes = patch, modes
        self.register_buffer("mean", torch.zeros(1, inputs, *shape))
        least, each = BLOCK_CHANNELS
        channels = min(max(least, inputs * patch**3 // each), inputs * patch**3)
        self.project, self.expand = linear(inputs * patch**3, channels)
        self.gaussian = Gaussian((channels, *(n // patch for n in shape)), modes)
        self.requires_grad_(False)

    def start(self, mean: torch.Tensor, fields: torch.Tensor) -> None:
        """Fit the model to training fields (n, c, x, y, z), their mirror images and mean (c, x, y, z)."""
        self.mean.copy_(mean)
        start_linear(self.project, self.expand, fields - mean, self.patch)
        both = torch.cat([fields, fields.flip(2)])
        with torch.no_grad():
            self.gaussian.start(torch.cat([self._blocks(field[None]) for field in both]))

    def coordinates(self, fields: torch.Tensor) -> torch.Tensor:
        """Return the (n, modes) coordinates of fields (n, c, x, y, z)."""
        return self.gaussian.coordinates(self._blocks(fields)).float()

    def folded(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Return the folded differences from the mean at coordinates (n, modes)."""
        return self.expand(self.gaussian.at(coordinates)).float()

    def _blocks(self, fields: torch.Tensor) -> torch.Tensor:
        return self.project(fold(fields - self.mean, self.patch))
