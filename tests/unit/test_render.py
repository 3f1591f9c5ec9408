"""The renderer: correct orientation, smooth surfaces on coarse grids, colours as in the legend."""

import numpy as np
import pytest

from calvaria.geometry.grid import IMPLANT, Grid
from calvaria.report.pictures import facing
from calvaria.report.render import VIEWS, render

GRID = Grid((32, 32, 32), 6.0)
SIZE = 96


def distance_from(point: tuple[float, float, float], grid: Grid = GRID) -> np.ndarray:
    """Return the distance of every voxel's centre from a point, in mm."""
    x, y, z = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    return np.sqrt((x - point[0]) ** 2 + (y - point[1]) ** 2 + (z - point[2]) ** 2)


def ball(radius_mm: float) -> np.ndarray:
    return (distance_from((0, 0, 0)) < radius_mm).astype(np.uint8)


def drawn(picture: np.ndarray) -> np.ndarray:
    """Return (h, w) bool, pixels that are not the white background."""
    return (picture < 250).any(axis=-1)


def blue(picture: np.ndarray) -> np.ndarray:
    red, _, blue = np.moveaxis(picture.astype(int), -1, 0)
    return blue > red + 40


@pytest.mark.parametrize(
    ("view", "bump", "side"),
    [
        ("front", (1, 0, 0), "left"),  # the viewer faces the patient, whose right is on the viewer's left
        ("front", (0, 0, 1), "top"),
        ("back", (1, 0, 0), "right"),
        ("right", (0, 1, 0), "right"),
        ("left", (0, 1, 0), "left"),
        ("left", (0, 0, 1), "top"),
        ("top", (0, 1, 0), "top"),
        ("top", (1, 0, 0), "right"),
        ("oblique", (1, 0, 0), "left"),
    ],
)
def test_every_view_shows_a_bump_on_its_proper_side(view, bump, side):
    labels = ball(50)
    labels[distance_from(tuple(58 * np.array(bump))) < 18] = 1
    rows, columns = np.nonzero(drawn(render(labels, GRID, VIEWS[view], SIZE)))
    reach = {
        "left": SIZE - 1 - columns.min(),
        "right": columns.max(),
        "top": SIZE - 1 - rows.min(),
        "bottom": rows.max(),
    }
    assert max(reach, key=reach.__getitem__) == side


def test_a_picture_has_a_scale_in_millimetres():
    rows, columns = np.nonzero(drawn(render(ball(60), GRID, VIEWS["front"], SIZE)))
    pixel_mm = max(GRID.extent_mm) / SIZE
    for positions in (rows, columns):
        # The level lies below one half, so the surface stands out by less than half a voxel on each side.
        assert 120 <= (np.ptp(positions) + 1) * pixel_mm <= 120 + GRID.spacing_mm + 2 * pixel_mm


def test_the_implants_colour_shows_only_where_an_implant_is_seen():
    labels = ball(60)
    labels[(labels > 0) & (distance_from((0, 60, 0)) < 30)] = IMPLANT
    assert blue(render(labels, GRID, VIEWS["front"], SIZE)).sum() > 300
    assert not blue(render(labels, GRID, VIEWS["back"], SIZE)).any()
    assert not blue(render(ball(60), GRID, VIEWS["front"], SIZE)).any()


def test_a_coarse_grid_gives_a_round_outline_without_steps():
    outline = drawn(render(ball(60), GRID, VIEWS["front"], 2 * SIZE))
    edge = outline & ~(np.roll(outline, 1, 0) & np.roll(outline, -1, 0))
    radius = np.hypot(*(np.argwhere(edge) - (2 * SIZE - 1) / 2).T) * max(GRID.extent_mm) / (2 * SIZE)
    assert radius.std() < 0.2 * GRID.spacing_mm


def test_bone_one_voxel_thick_has_no_holes():
    shell = (np.abs(distance_from((0, 0, 0)) - 60) < 0.6 * GRID.spacing_mm).astype(np.uint8)
    shell[:, : GRID.shape[1] // 2] = 0  # only the front half, so that a hole would show the background
    picture = drawn(render(shell, GRID, VIEWS["front"], SIZE))
    inner = np.hypot(*np.meshgrid(*[np.arange(SIZE) - (SIZE - 1) / 2] * 2)) < 0.8 * 60 / (192 / SIZE)
    assert picture[inner].all()


def test_a_cavity_is_darker_than_the_outside():
    labels = ball(60) - ball(50)
    labels[distance_from((0, 60, 0)) < 25] = 0
    picture = render(labels, GRID, VIEWS["front"], SIZE).astype(int).sum(axis=-1)
    middle = SIZE // 2
    assert picture[middle, middle] < 0.6 * picture[middle, middle - 20]


def test_nothing_gives_a_white_picture_and_pictures_repeat():
    empty = render(np.zeros(GRID.shape, np.uint8), GRID, VIEWS["oblique"], SIZE)
    assert (empty.shape, empty.dtype) == ((SIZE, SIZE, 3), np.uint8)
    assert (empty == 255).all()
    first, second = (render(ball(40), GRID, VIEWS["oblique"], SIZE) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("way", [(1, 0, 0.3), (-0.6, -0.8, 0.2), (0.3, 0.7, 1.0), (0, 0, 1)])
def test_the_facing_view_sees_the_implant(way):
    labels = ball(60)
    labels[(labels > 0) & (distance_from(tuple(60 * np.array(way) / np.linalg.norm(way))) < 25)] = IMPLANT
    view = facing(labels == IMPLANT, GRID)
    assert blue(render(labels, GRID, view, SIZE)).sum() > 150
