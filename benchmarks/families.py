"""The audit of every family of a run as a table, and pictures of twenty skulls of each and of real ones.

    snakemake audits --cores all --configfile workflow/presets/native.yaml
    python benchmarks/families.py --run results/native

The figures are read from the run (``audit/FAMILY.json``), the times from Snakemake's benchmark files.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from environment import header
from PIL import Image, ImageDraw, ImageFont

from calvaria.config import HELD_OUT, load
from calvaria.geometry.grid import Grid
from calvaria.report import looks
from calvaria.report.render import VIEWS, render
from calvaria.report.tables import FIDELITY, REBUILT, number
from calvaria.storage.cohorts import skulls
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json

SIZE, COLUMNS, TWENTY, CAPTION = 190, 10, 20, 22


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--families", nargs="+", help="all of the config by default")
    parser.add_argument("--pictures", type=Path, default=Path("docs/pictures"))
    given = parser.parse_args()
    run = Run(given.run)
    config = load(run.config)
    families = given.families or list(config.fit)
    audits = {name: read_json(run.audit(name)) for name in families}
    first = next(iter(audits.values()))
    split = {cohort: len(skulls(run, cohort)[0]) for cohort in ("training", *HELD_OUT)}
    lines = [
        header("Families: how real, how varied, how new", "python " + " ".join(sys.argv)),
        "",
        f"{split['training']} training skulls; compared with the {first['held_out']} skulls of "
        f"{split['validation']} validation and {split['test']} test people; {first['samples']} screened "
        f"samples a family, taken {first['held_out']} at a time; {first['neighbours']} neighbours; grid "
        f"{config.grid.shape} at {config.grid.spacing_mm} mm. `real` is the training skulls themselves. "
        "Fit: seconds of CPU time, for registrations of all of their jobs; a family that stands on another "
        "needs that one's, too. Sampling: the same a screened skull, with loading and redrawing.",
        "",
        "| family | fit, s | sampling, s | rejected | "
        + " | ".join(one.label for one in FIDELITY)
        + " | nearest training skull | p | copies |",
        "|" + "---|" * (len(FIDELITY) + 7),
    ]
    for name, audit in audits.items():
        memory = audit["memorisation"]
        fitted = seconds(run, "template", name) + seconds(run, "register", name) + seconds(run, "fit", name)
        each = (seconds(run, "sample", name) + seconds(run, "screen", name)) / audit["samples"]
        figures = [number(audit["fidelity"][one.key], 2) for one in FIDELITY]
        lines.append(
            f"| {name} | {fitted:.0f} | {each:.2f} | {audit['rejected']} | {' | '.join(figures)} "
            f"| {memory['ratio']:.2f} | {memory['p_value']:.2g} | {audit['copies_dropped']} |"
        )
    lines += [
        "",
        "How the skulls look; the first row has the figures of held-out real skulls:",
        "",
        "| family | " + " | ".join(one.label for one in looks.COLUMNS) + " |",
        "|" + "---|" * (len(looks.COLUMNS) + 1),
        *(f"| {row.family} | {' | '.join(row.cells)} |" for row in looks.look_table(audits)),
        "",
        f"Autoencoders on the {split['test']} test skulls, means:",
        "",
        "| family | " + " | ".join(one.label for one in REBUILT) + " |",
        "|" + "---|" * (len(REBUILT) + 1),
    ]
    for name, audit in audits.items():
        if rebuilt := audit["reconstruction"]:
            lines.append(f"| {name} | {' | '.join(number(rebuilt[one.key], 3) for one in REBUILT)} |")
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    grid = config.grid.voxels()
    real = [*skulls(run, "test")[1], *skulls(run, "validation")[1]][:TWENTY]
    for name in families:
        store = run.screen(name)
        made = list(store.volumes(store.rows()[:TWENTY]))
        sheet(real, made, grid, name).save(given.pictures / f"families_{name}.png", optimize=True)


def seconds(run: Run, stage: str, family: str) -> float:
    """Return the CPU time of all jobs of a stage for one family.

    Unlike wall time, CPU time hardly depends on the load of the machine.
    """
    root = run.root / "benchmarks" / stage
    files = [root / f"{family}.tsv", *root.glob(f"{family}-*.tsv"), *(root / family).glob("*.tsv")]
    lines = [file.read_text().splitlines() for file in files if file.is_file()]
    return sum(
        float(dict(zip(names.split("\t"), row.split("\t"), strict=True))["cpu_time"]) for names, row in lines
    )


def sheet(real: list[np.ndarray], made: list[np.ndarray], grid: Grid, name: str) -> Image.Image:
    """Render real skulls on top, a family's below."""
    rows = -(-TWENTY // COLUMNS)
    whole = Image.new("RGB", (SIZE * COLUMNS, 2 * (CAPTION + rows * SIZE)), "white")
    draw = ImageDraw.Draw(whole)
    for part, (caption, many) in enumerate((("real, held out", real), (name, made))):
        top = part * (CAPTION + rows * SIZE)
        draw.text((4, top + 4), caption, "black", ImageFont.load_default(14))
        for place, skull in enumerate(many):
            row, column = divmod(place, COLUMNS)
            picture = Image.fromarray(render(skull, grid, VIEWS["oblique"], SIZE))
            whole.paste(picture, (column * SIZE, top + CAPTION + row * SIZE))
    return whole.quantize(64, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
