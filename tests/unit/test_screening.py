"""The screen accepts skulls similar to the training skulls and names the faults of others."""

import numpy as np
import pytest

from calvaria.config import Screen
from calvaria.skull.measures import measure
from calvaria.skull.screening import clean, limits, screen_skull


@pytest.fixture
def accepted(dome, grid):
    return limits([measure(dome, grid)], Screen())


def reason(skull, grid, accepted):
    return screen_skull(skull, grid, accepted, Screen()).reason


def test_a_training_skull_passes(dome, grid, accepted):
    assert reason(dome, grid, accepted) is None


def test_measures_of_a_known_shell(dome, grid):
    found = measure(dome, grid)
    assert found.width_mm == pytest.approx(140, abs=grid.spacing_mm)
    assert found.length_mm == pytest.approx(180, abs=grid.spacing_mm)
    assert found.thickness_mm == pytest.approx(9, rel=0.15)
    assert found.hole_area_mm2 == 0


def test_a_hole_is_measured_in_square_millimetres(dome, grid):
    """The skull has a square hole of 45 mm in the crown."""
    dome[15:25, 19:29, 30:] = 0
    assert measure(dome, grid).hole_area_mm2 == pytest.approx(45**2, rel=0.2)


def test_faults_are_named(dome, grid, accepted):
    open_vault = dome.copy()
    open_vault[15:25, 19:29, 30:] = 0
    assert reason(open_vault, grid, accepted) == "vault open"
    assert reason(np.zeros_like(dome), grid, accepted) == "empty"
    halves = dome.copy()
    halves[19:21] = 0
    assert reason(halves, grid, accepted) == "fragmented"
    thick = accepted | {"volume_ml": (1.0, 2.0)}
    assert reason(dome, grid, thick) == "volume too high"


def test_small_pieces_are_removed(dome, grid, accepted):
    speck = dome.copy()
    speck[20, 24, 15] = 1
    cleaned, share = clean(speck)
    assert np.array_equal(cleaned, dome)
    assert 0.99 < share < 1
    assert reason(speck, grid, accepted) is None
