"""An unbiased template of a population, equally close to all skulls.

Source: Joshi et al. 2004, Unbiased diffeomorphic atlas construction; Avants et al. 2010, The optimal
template effect in hippocampus studies of diseased populations.
"""

from typing import Any

import numpy as np
import torch

from calvaria.families.registration import RegistrationFamily
from calvaria.families.registration.fields import centres, inverse, look_up, prepare
from calvaria.families.registration.syn import image, register
from calvaria.geometry.grid import Grid
from calvaria.geometry.thresholds import count_keeping_threshold
from calvaria.utils.progress import Progress


def build(
    ants: Any, masks: np.ndarray, grid: Grid, field_grid: Grid, settings: RegistrationFamily, name: str
) -> np.ndarray:
    """Return the template's mask, (x, y, z) uint8 on the volumes' grid.

    In every round the skulls are registered to the template and averaged there; the average is resampled
    through the inverse of the mean deformation, so that it converges to the centre of the population. The
    average is one of depths, thresholded to the population's mean bone volume.

    Args:
        masks: (n, x, y, z) uint8 of the skulls to average.
        field_grid: the grid of the registrations.
    """
    reach = settings.reach * field_grid.spacing_mm
    skulls = [prepare(mask, grid, reach) for mask in masks]
    images = [image(skull, field_grid) for skull in skulls]
    bone = round(float(np.mean([np.count_nonzero(mask) for mask in masks])))
    template = _cut(torch.stack([skull.values[0] for skull in skulls]).sum(0), bone)
    progress = Progress(f"template {name}", settings.template_rounds * len(skulls), "skulls")
    for _ in range(settings.template_rounds):
        target = image(prepare(template, grid, reach), field_grid)
        total = torch.zeros(grid.shape)
        mean = torch.zeros(3, *field_grid.shape)
        for skull, moving in zip(skulls, images, strict=True):
            there, _ = register(
                ants, target, moving, field_grid, settings.template_iterations, settings.gradient_step
            )
            mean += there / len(skulls)
            total += _pulled(skull.values[0], there, grid, field_grid)
            progress.advance()
        template = _cut(_pulled(total, inverse(mean, field_grid), grid, field_grid), bone)
    return template


def _pulled(volume: torch.Tensor, field: torch.Tensor, grid: Grid, field_grid: Grid) -> torch.Tensor:
    """Return an (x, y, z) volume warped by a field."""
    places = centres(grid)
    targets = places + look_up(field, field_grid, places).movedim(0, -1)
    return look_up(volume[None], grid, targets)[0]


def _cut(depth: torch.Tensor, voxels: int) -> np.ndarray:
    """Return (x, y, z) uint8 with this many of the deepest voxels."""
    values = depth.numpy()
    return (values >= count_keeping_threshold(values, voxels)).astype(np.uint8)
