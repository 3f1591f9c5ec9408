"""The contact sheet: two views of every skull of a shard, with id and verdict."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from calvaria.geometry.grid import Grid
from calvaria.report.render import VIEWS, render
from calvaria.skull import ACCEPTED, is_accepted
from calvaria.storage.rows import IngestRow

SIDES = ("front", "right")
PIXELS = 150  # width and height of a picture
COLUMNS = 4
CAPTION, MARGIN = 34, 8
REJECTED = (178, 60, 0)  # vermilion; never the only indication


def contact_sheet(rows: Sequence[IngestRow], volumes: Sequence[np.ndarray], grid: Grid) -> bytes:
    """Return a PNG with a tile for every skull.

    Args:
        rows: rows of the ingest store.
        volumes: (x, y, z) uint8 labels; empty ones are not rendered.
    """
    width, height = len(SIDES) * PIXELS, PIXELS + CAPTION
    lines = -(-len(rows) // COLUMNS)
    sheet = Image.new(
        "RGB", (COLUMNS * (width + MARGIN) + MARGIN, lines * (height + MARGIN) + MARGIN), "white"
    )
    for number, (row, labels) in enumerate(zip(rows, volumes, strict=True)):
        line, column = divmod(number, COLUMNS)
        corner = (MARGIN + column * (width + MARGIN), MARGIN + line * (height + MARGIN))
        sheet.paste(_tile(row, labels, grid), corner)
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()


def _tile(row: IngestRow, labels: np.ndarray, grid: Grid) -> Image.Image:
    tile = Image.new("RGB", (len(SIDES) * PIXELS, PIXELS + CAPTION), "white")
    draw = ImageDraw.Draw(tile)
    for number, side in enumerate(SIDES):
        if labels.any():
            tile.paste(Image.fromarray(render(labels, grid, VIEWS[side], PIXELS)), (number * PIXELS, CAPTION))
    accepted, sound = is_accepted(row), row["verdict"] == ACCEPTED
    draw.text((4, 2), str(row["id"]), "black", ImageFont.load_default(13))
    verdict = row["verdict"]
    if not sound:
        verdict = f"{verdict}, accepted by name" if accepted else f"rejected: {verdict}"
    draw.text((4, 17), verdict, (70, 70, 70) if sound else REJECTED, ImageFont.load_default(12))
    if not accepted:
        draw.rectangle((0, 0, tile.width - 1, tile.height - 1), outline=REJECTED, width=2)
    return tile
