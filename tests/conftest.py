"""Fixtures of all tests: the folder of real skulls, and a small analytic skull."""

import os
from pathlib import Path

import numpy as np
import pytest

from calvaria.geometry.grid import Grid
from tests.skips import pytest_sessionfinish

__all__ = ["pytest_sessionfinish"]

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_skulls() -> Path:
    """The folder of real label volumes; dependent tests are skipped where it is absent."""
    shared = Path(os.environ.get("CALVARIA_REAL_DATA", ROOT.parent / "shared" / "data"))
    folder = shared / "skullfix_1mm"
    if not folder.is_dir():
        pytest.skip(f"no real skulls at {folder}; set CALVARIA_REAL_DATA")
    return folder


@pytest.fixture
def grid() -> Grid:
    return Grid((40, 48, 40), 4.5)


@pytest.fixture
def dome(grid: Grid) -> np.ndarray:
    """A closed ellipsoidal shell, 140 x 180 x 130 mm and 9 mm thick, open at the bottom."""
    x, y, z = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")

    def ball(a: float, b: float, c: float) -> np.ndarray:
        return (x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 <= 1

    shell = ball(70, 90, 65) & ~ball(61, 81, 56) & (z > -50)
    return shell.astype(np.uint8)
