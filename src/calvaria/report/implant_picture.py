"""A picture of a skull with its implant from four sides, with warnings."""

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from calvaria.geometry.grid import Grid
from calvaria.geometry.resample import resample
from calvaria.report.render import PREDICTED_COLOUR, View, draw, scene
from calvaria.skull.pose import Pose

GRID = Grid((170, 200, 170), 1.2)
TOP_MARGIN_MM = 8.0
SIDES = {"right": View(90, 10), "front": View(0, 10), "front right": View(45, 35), "above": View(0, 85)}
SIZE = 300  # width and height of each side in pixels
LINE, MARGIN, LETTERS = 18, 10, 150  # line height and margin in pixels, characters per line
WARNING = (178, 60, 0)


def implant_picture(labels: np.ndarray, affine: np.ndarray, pose: Pose, warnings: Sequence[str]) -> bytes:
    """Return a PNG of the four sides with the warnings below.

    Args:
        labels: (i, j, k) uint8, 0 background, 1 bone, 2 implant.
        affine: (4, 4) voxel indices to the millimetres of the pose.
    """
    to_box = pose.to_box(np.array([0.0, 0.0, GRID.extent_mm[2] / 2 - TOP_MARGIN_MM]))
    subject = scene(resample(labels, affine, to_box, GRID), GRID, PREDICTED_COLOUR)
    lines = [
        line for one in warnings for line in textwrap.wrap(f"Warning: {one}", LETTERS, subsequent_indent="  ")
    ]
    text = LINE * len(lines) + 2 * MARGIN if lines else 0
    whole = Image.new("RGB", (SIZE * len(SIDES), SIZE + text), "white")
    for column, view in enumerate(SIDES.values()):
        whole.paste(Image.fromarray(draw(subject, view, SIZE)), (column * SIZE, 0))
    pen = ImageDraw.Draw(whole)
    for number, line in enumerate(lines):
        pen.text((MARGIN, SIZE + MARGIN + number * LINE), line, WARNING, ImageFont.load_default(14))
    file = io.BytesIO()
    whole.quantize(64, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()
