"""Checks of the config that several of its sections need."""

from calvaria.geometry.grid import Grid
from calvaria.plugins.section import Optimiser


def check_halvings(key: str, grid: Grid, patch: int, levels: int) -> None:
    """Check that a network's patch and levels divide the grid.

    Args:
        key: the network's section of the config.
        patch: voxels per edge that are folded into channels.
        levels: resolution levels, each with half the edge of the one before.

    Raises:
        ValueError: if they do not.
    """
    divisor = patch * 2 ** (levels - 1)
    if any(n % divisor for n in grid.shape):
        raise ValueError(
            f"{key}.patch and {key}.channels: patch * 2^(levels - 1) is {divisor}, which must divide "
            f"grid.shape, got {list(grid.shape)}"
        )


def check_batches(key: str, optimiser: Optimiser, processes: int) -> None:
    """Check that batches can be divided among the passes of all processes.

    Raises:
        ValueError: if they cannot.
    """
    parts = optimiser.accumulate * processes
    if optimiser.batch_size % parts:
        raise ValueError(
            f"{key}.optimiser.batch_size: accumulate * processes is {parts}, which must divide it, "
            f"got {optimiser.batch_size}"
        )
