"""Write docs/demo.png from a finished demo: ``python docs/picture.py results/demo docs/demo.png``."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from calvaria.config import load
from calvaria.report.pictures import facing
from calvaria.report.render import PREDICTED_COLOUR, VIEWS, render
from calvaria.storage.paths import Run

SIZE, CAPTION = 220, 24


def tile(picture: np.ndarray, caption: str) -> Image.Image:
    """Return a picture with its caption below."""
    image = Image.new("RGB", (SIZE, SIZE + CAPTION), "white")
    image.paste(Image.fromarray(picture), (0, 0))
    ImageDraw.Draw(image).text((SIZE // 2, SIZE + 2), caption, "black", ImageFont.load_default(14), "ma")
    return image


def main(root: Path, target: Path) -> None:
    run = Run(root)
    config = load(run.config)
    grid = config.grid.voxels()
    first = [
        tile(render(next(store.volumes(store.rows())), grid, VIEWS["oblique"], SIZE), family)
        for family, store in ((family, run.screen(family)) for family in config.fit)
    ]
    arm = max(config.train.arms, key=lambda name: np.mean([row["dsc"] for row in run.evaluate(name).rows()]))
    scores = sorted(run.evaluate(arm).rows(), key=lambda row: row["dsc"])
    row = scores[len(scores) // 2]
    cases = run.inject("test")
    truth, predicted = cases.volume(cases.rows()[row["case"]]), run.evaluate(arm).volume(row)
    view = facing(truth == 2, grid)
    second = [
        tile(render(np.where(truth == 1, 1, 0).astype(np.uint8), grid, view, SIZE), "defective skull"),
        tile(render(truth, grid, view, SIZE), "true implant"),
        tile(render(predicted, grid, view, SIZE, PREDICTED_COLOUR), f"{arm}, median: DSC {row['dsc']:.2f}"),
    ]
    sheet = Image.new("RGB", (SIZE * max(len(first), len(second)), 2 * (SIZE + CAPTION)), "white")
    for line, tiles in enumerate((first, second)):
        for column, one in enumerate(tiles):
            sheet.paste(one, (column * SIZE, line * (SIZE + CAPTION)))
    sheet.save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
