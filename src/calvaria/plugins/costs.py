"""Costs of plugins for estimates: seconds of one core and bytes on disk.

Families and sources return their costs from ``estimated_cost``. A plugin without that method is assumed to
have typical costs, and the estimate names it. Neither this module nor those methods are part of a
fingerprint, so a corrected figure re-runs nothing. The figures were measured like those of
`calvaria.pipeline.costs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from calvaria.geometry.grid import Grid
    from calvaria.plugins.family import Family
    from calvaria.plugins.section import Optimiser

# Start-up time of a job in seconds: imports, reading the training skulls.
START_S, START_TORCH_S = 0.6, 5.0


@dataclass(frozen=True)
class Load:
    """Amount of data that the jobs of a family process."""

    grid: Grid
    training: int  # skulls
    families: Mapping[str, Family]  # all families of the config by name

    @property
    def voxels(self) -> float:
        """Number of voxels of a volume."""
        return prod(self.grid.shape)


@dataclass(frozen=True)
class FamilyCost:
    """Cost of the jobs of a family."""

    fit_s: float  # including imports
    draw_s: float  # per skull
    model_bytes: float = 1e4
    start_s: float = START_TORCH_S  # start-up time of every job that draws
    template_s: float = 0.0  # of ``build_template``
    registrations: float = 0.0  # number in all batches of ``register``
    registration_s: float = 0.0
    registration_bytes: float = 0.0
    is_measured: bool = True


@dataclass(frozen=True)
class SourceCost:
    """Cost of the scans of a source."""

    scan_s: float  # to read a scan, estimate its pose and resample it
    is_measured: bool = True


UNKNOWN_SOURCE = SourceCost(scan_s=0.6, is_measured=False)  # that of a folder of label volumes


def unknown_family(load: Load) -> FamilyCost:
    """Return the cost of a family without ``estimated_cost`` and without a network: that of the ssm."""
    return FamilyCost(
        fit_s=2.0 + load.training * 4e-7 * load.voxels,
        draw_s=3.5e-7 * load.voxels,
        model_bytes=6e6,
        is_measured=False,
    )


def unknown_network(load: Load, optimiser: Optimiser) -> FamilyCost:
    """Return the cost of a network family without ``estimated_cost``: that of the default vae."""
    skull_s = 1.4e-8 * convolution_work(load.voxels, 4, (64,))
    return replace(network_cost(load, optimiser, skull_s, model_bytes=45e6), is_measured=False)


def network_cost(load: Load, optimiser: Optimiser, skull_s: float, model_bytes: float) -> FamilyCost:
    """Return the cost of a network that samples in one pass; ``skull_s`` is per skull and training step."""
    fit_s = training_s(optimiser, skull_s)
    return FamilyCost(fit_s=fit_s, draw_s=3e-7 * load.voxels, model_bytes=model_bytes)


def training_s(optimiser: Optimiser, skull_s: float) -> float:
    """Return the seconds of a training; ``skull_s`` is per skull and step."""
    return START_TORCH_S + optimiser.steps * optimiser.batch_size * skull_s


def convolution_work(voxels: float, patch: int, channels: Sequence[int], memory: int = 0) -> float:
    """Return the number of multiplications of a network's convolutions, up to a constant factor.

    Args:
        voxels: of the volume.
        patch: voxels per edge that are rearranged into channels of the finest level.
        channels: per level, fine to coarse; each level halves the resolution.
        memory: multiplications that take as long as reading and writing a channel; counts for few channels.
    """
    return sum(voxels / (patch * 2**level) ** 3 * c * (c + memory) for level, c in enumerate(channels))
