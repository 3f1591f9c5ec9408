"""Benchmark of defects: cases per second by recipe and volume size, profile, memory, another generator.

    python benchmarks/defects.py benchmarks/defects.md [generate_defects.py]

The second argument is SkullBreak's own generator (dataset_generation/generate_defects.py of
github.com/OldaKodym/BUT_autoimplant_public), which is run unmodified on the largest skull. Times are CPU
times of one process with one thread.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from environment import header, peak_gb

from calvaria.config import Inject
from calvaria.defects.apply import apply_defect
from calvaria.defects.checks import check_case
from calvaria.defects.injection import inject_defect
from calvaria.geometry.grid import IMPLANT, Grid
from calvaria.seeds import generator
from calvaria.skull.examine import examine
from calvaria.skull.vault import find_vault
from calvaria.sources.phantom import PhantomSource
from calvaria.storage.store import Store, write_shard

SIZES = {128: (1.6, 24), 256: (0.8, 12), 512: (0.4, 4)}  # voxels per edge: spacing in mm, cases
RECIPES = {
    "spheres": {"kind": "spheres"},
    "rounded_box": {"kind": "rounded_box"},
    "ellipsoid": {"kind": "ellipsoid"},
    "cuboid": {"kind": "cuboid"},
    "craniotomy": {"kind": "craniotomy"},
    "ellipsoid, healed": {"kind": "ellipsoid", "healed": {}},
    "ellipsoid, field of view": {"kind": "ellipsoid", "field_of_view": {}},
    "two or three spheres": {
        "kind": "ellipsoid",
        "count": [2, 3],
        "radius_mm": {"mean": 18, "sd": 3},
        "elongation": [1, 1],
    },
}
PUBLIC_DEFECTS = 2


def skull_of(size: int) -> tuple[np.ndarray, Grid]:
    """Return an ingested phantom; the largest is the middle one with each voxel split into eight."""
    finest = min(size, 256)
    grid = Grid((finest,) * 3, SIZES[finest][0])
    source = PhantomSource(kind="phantom", count=1, spacing_mm=grid.spacing_mm)
    labels = examine(source.read(source.entries("p")[0], 0), grid, 10.0).labels
    for axis in range(3):
        labels = labels.repeat(size // finest, axis)
    return labels, Grid((size,) * 3, SIZES[size][0])


def timed(call, *arguments):
    """Return the CPU seconds of a call, and its result."""
    start = time.process_time()
    result = call(*arguments)
    return time.process_time() - start, result


def measure(size: int) -> dict:
    """Measure all recipes and the writing of a store at one size."""
    skull, grid = skull_of(size)
    cases = SIZES[size][1]
    vault = min(timed(find_vault, skull, grid)[0] for _ in range(3))
    found = find_vault(skull, grid)
    rows = {}
    for name, raw in RECIPES.items():
        inject = Inject.model_validate({"recipes": {"it": raw}})
        recipe = inject.recipes["it"]
        parts = dict.fromkeys(("whole", "draw", "apply", "check", "draws", "voxels"), 0.0)
        for number in range(cases + 1):

            def rng(attempt: int, key: tuple[str, int] = (name, number)) -> np.random.Generator:
                return generator(7, *key, attempt)

            whole, made = timed(inject_defect, skull, grid, inject, rng, found)
            draw, _ = timed(recipe.draw, rng(0), skull, grid, found)
            apply, labels = timed(apply_defect, skull, grid, made.defect)
            check, _ = timed(check_case, labels, grid, inject.implant_ml, made.defect.pieces)
            if number:  # the first case is a warm-up
                voxels = np.count_nonzero(labels == IMPLANT)
                for key, value in zip(
                    parts, (whole, draw, apply, check, made.attempt + 1, voxels), strict=True
                ):
                    parts[key] += value / cases
        rows[name] = parts
    memory = peak_gb()
    volumes = np.stack([labels] * cases)
    with tempfile.TemporaryDirectory() as folder:
        write_shard(Store(Path(folder) / "warm.zarr"), 0, 1, 1, grid, volumes[:1], [{}])
        store = Store(Path(folder) / "it.zarr")
        write, _ = timed(write_shard, store, 0, cases, cases, grid, volumes, [{}] * cases)
    return {
        "rows": rows,
        "vault": vault,
        "write": write / cases,
        "memory": memory,
    }


def public(path: str) -> float:
    """Return seconds per defect of SkullBreak's generator at 512 cubed and its settings, without set-up."""
    import types

    import scipy.ndimage as sn

    # The generator needs this name and SciPy's modules below, which newer versions have removed.
    setattr(np, "float", float)  # noqa: B010
    skull, _ = skull_of(512)
    module = types.ModuleType("generate_defects")
    exec(compile(Path(path).read_text(), path, "exec"), module.__dict__)
    names = {name: getattr(sn, name) for name in dir(sn) if not name.startswith("_")}
    module.sn = types.SimpleNamespace(
        **{**names, "morphology": sn, "filters": sn, "interpolation": sn, "shift": sn.shift}
    )
    made = module.DefectGenerator(70, 20, 40, 10, 0, 8)
    np.random.seed(0)  # noqa: NPY002
    bone = np.argwhere(skull[:, :, 250:] > 0) + np.array([0, 0, 250])

    def one() -> np.ndarray:
        defect = made.generate_defect(size=skull.shape)
        point = bone[np.random.randint(len(bone))]  # noqa: NPY002
        moved = sn.shift(defect, point - 256, order=0)
        defective = skull.copy()
        defective[moved] = 0
        implant = skull.copy()
        implant[~moved] = 0
        return implant

    return sum(timed(one)[0] for _ in range(PUBLIC_DEFECTS)) / PUBLIC_DEFECTS


def run(*arguments: str) -> dict:
    """Run a part in a separate process to measure its memory."""
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(target: Path, generator_path: str | None) -> None:
    results = {}
    for size in SIZES:
        results[size] = run("--size", str(size))
        print(size, results[size], flush=True)
    theirs = run("--public", generator_path)["seconds"] if generator_path else None
    text = [header("Defects", "python benchmarks/defects.py benchmarks/defects.md generate_defects.py"), ""]
    text += [
        "One core: the processor's time of one process with one thread; the machine was shared. A skull is a",
        "phantom in a cube of 205 mm; a case is `inject_defect` with its draw, cut, checks and redraws (the",
        "vault is found once per skull); written, with its share of a shard's `write_shard`.",
        "",
        "## Cases a second",
        "",
    ]
    sizes = list(SIZES)
    text += [
        table(
            ["recipe", *(f"{n}³, cut and checked" for n in sizes), *(f"{n}³, and written" for n in sizes)],
            [
                [
                    name,
                    *(f"{1 / results[n]['rows'][name]['whole']:.1f}" for n in sizes),
                    *(f"{1 / (results[n]['rows'][name]['whole'] + results[n]['write']):.1f}" for n in sizes),
                ]
                for name in RECIPES
            ],
        ),
        "",
        "## Where the time goes, ms a case",
        "",
    ]
    rows = []
    for n in sizes:
        for name in RECIPES:
            r = results[n]["rows"][name]
            cells = [1e3 * r[key] for key in ("draw", "apply", "check", "whole")]
            rows.append(
                [f"{n}³ {name}", *(f"{ms:.1f}" for ms in cells), f"{r['draws']:.2f}", f"{r['voxels']:.0f}"]
            )
    text += [
        table(["size, recipe", "draw", "cut", "check", "whole", "draws a case", "implant voxels"], rows),
        "",
    ]
    text += ["## Cost against volume size", ""]
    rows = []
    for n in sizes:
        whole = np.mean([results[n]["rows"][name]["whole"] for name in RECIPES])
        rows.append(
            [
                f"{n}³",
                f"{n**3 / 1e6:.1f}",
                f"{1e3 * results[n]['vault']:.1f}",
                f"{1e3 * whole:.1f}",
                f"{1e3 * results[n]['write']:.1f}",
                f"{1e9 * whole / n**3:.1f}",
                f"{results[n]['memory']:.2f}",
            ]
        )
    text += [
        table(
            [
                "size",
                "million voxels",
                "vault, ms a skull",
                "a case, ms (mean of recipes)",
                "store write, ms a case",
                "a case, ns a voxel",
                "peak memory, GB",
            ],
            rows,
        ),
        "",
    ]
    text += ["Peak memory is that of drawing, cutting and checking, with Python and its libraries.", ""]
    text += ["## SkullBreak's generator at 512³ and 0.4 mm", ""]
    ours = results[512]["rows"]["spheres"]["whole"]
    if theirs is not None:
        text += [
            f"Its authors' program, in the same run on the same skull: **{theirs:.1f} s** a defect (mean of "
            f"{PUBLIC_DEFECTS}, without set-up, file reading and writing; old names of NumPy and SciPy were "
            f"given back to it). The recipe `spheres` here, checks and redraws included: **{ours:.3f} s**, "
            f"**{theirs / ours:.0f} times** as fast; the slowest recipe or option above is "
            f"{theirs / max(r['whole'] for r in results[512]['rows'].values()):.0f} times as fast.",
        ]
    text += ["", "Measured earlier, on another machine: 57 and 74 s a defect for the same program."]
    target.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "--size":
        print(json.dumps(measure(int(sys.argv[2]))))
    elif sys.argv[1] == "--public":
        print(json.dumps({"seconds": public(sys.argv[2])}))
    else:
        main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
