"""Contact sheets of defects: ten cases per recipe on real skulls, docs/pictures/defects_RECIPE.png.

    .venv/bin/python benchmarks/defect_sheets.py [RECIPE ...]

The skulls are read from the folder skullfix_1mm of CALVARIA_REAL_DATA or ../shared/data, ingested at 2 mm
once and cached in the folder for temporary files.
"""

import sys
from pathlib import Path

import numpy as np
from defect_data import GRID, skulls
from PIL import Image, ImageDraw, ImageFont

from calvaria.config import Inject
from calvaria.defects.injection import Injected, inject_defect
from calvaria.geometry.grid import IMPLANT
from calvaria.report.pictures import facing, without_implant
from calvaria.report.render import render
from calvaria.seeds import generator

RECIPES = {
    "spheres": {"kind": "spheres"},
    "rounded_box": {"kind": "rounded_box"},
    "rounded_box_normal": {
        "kind": "rounded_box",
        "axis": "normal",
        "azimuth_deg": {"mean": 0, "sd": 60},
        "elevation_deg": {"mean": 45, "sd": 10},
    },
    "ellipsoid": {"kind": "ellipsoid"},
    "sphere": {"kind": "ellipsoid", "elongation": [1, 1]},
    "cuboid": {"kind": "cuboid"},
    "cube": {"kind": "cuboid", "elongation": [1, 1]},
    "craniotomy": {"kind": "craniotomy"},
    "bilateral": {"kind": "spheres", "region": "bilateral"},
    "frontoorbital": {"kind": "spheres", "region": "frontoorbital"},
    "parietotemporal": {"kind": "spheres", "region": "parietotemporal"},
    "several": {
        "kind": "spheres",
        "count": [2, 3],
        "primary_radius_mm": {"mean": 18, "sd": 4},
        "secondary_count": [0, 3],
        "secondary_radius_mm": {"mean": 10, "sd": 2},
    },
    "healed": {"kind": "craniotomy", "healed": {}},
    "field_of_view": {"kind": "ellipsoid", "field_of_view": {"top_mm": {"mean": 8, "sd": 4}}},
}
CASES, COLUMNS, SIZE, CAPTION, COLOURS = 10, 5, 150, 16, 96
PICTURES = Path(__file__).parents[1] / "docs" / "pictures"


def case(name: str, skull: np.ndarray, number: int) -> Injected:
    """Return case ``number`` of a recipe on this skull."""
    inject = Inject.model_validate({"recipes": {name: RECIPES[name]}})
    return inject_defect(skull, GRID, inject, lambda attempt: generator(1, "sheet", name, number, attempt))


def tile(made: Injected, id: str) -> Image.Image:
    """Render the defective skull, and below it the same skull with its implant."""
    labels = made.labels
    view = facing(labels == IMPLANT, GRID)
    image = Image.new("RGB", (SIZE, 2 * SIZE + CAPTION), "white")
    for number, shown in enumerate((without_implant(labels), labels)):
        image.paste(Image.fromarray(render(shown, GRID, view, SIZE)), (0, CAPTION + number * SIZE))
    volume = np.count_nonzero(labels == IMPLANT) * GRID.spacing_mm**3 / 1000
    text = f"{id}: {volume:.0f} ml"
    ImageDraw.Draw(image).text((SIZE // 2, 2), text, "black", ImageFont.load_default(11), "ma")
    return image


def sheet(name: str, heads: dict[str, np.ndarray]) -> Image.Image:
    """Render ten cases of a recipe on ten skulls."""
    chosen = list(heads.items())[:: len(heads) // CASES][:CASES]
    lines = -(-CASES // COLUMNS)
    image = Image.new("RGB", (COLUMNS * SIZE, lines * (2 * SIZE + CAPTION)), "white")
    for number, (id, labels) in enumerate(chosen):
        made = case(name, (labels > 0).astype(np.uint8), number)
        line, column = divmod(number, COLUMNS)
        image.paste(tile(made, id), (column * SIZE, line * (2 * SIZE + CAPTION)))
    return image


def main(names: list[str]) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    heads = skulls()
    for name in names or RECIPES:
        picture = sheet(name, heads).quantize(COLOURS, dither=Image.Dither.NONE)
        picture.save(PICTURES / f"defects_{name}.png", optimize=True)
        print(name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
