"""``calvaria reconstruct`` on CTs of other scanners, unchanged and with injected defects that are scored.

    python benchmarks/heads.py DATA benchmarks/heads.md [PROCESSES]

DATA holds ``heads``. Defects are cut on the scan's native grid by ``calvaria inject`` with the preset's
recipes, and each implant is scored on that grid.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import Pool
from pathlib import Path

import nibabel
import numpy as np
from environment import header

from calvaria.defects.inject_skull import inject_skull
from calvaria.errors import InputError
from calvaria.metrics.scores import score
from calvaria.reconstruction.reconstruct import NoDefectError, Options, read_bone, reconstruct
from calvaria.storage.nifti_file import write_nifti
from calvaria.storage.shipped import pretrained

HEADS = ("cq500_head_ct_1", "cq500_head_ct_2", "head_and_neck_ct", "visible_human_male_head_ct")
ANKLES = "visible_human_female_ankle_ct"
PRESET = Path(__file__).parents[1] / "workflow" / "presets" / "skullfix.yaml"
RECIPES = {"skullfix": 7, "spheres": 4, "bilateral": 3, "frontoorbital": 3, "parietotemporal": 3}
SEED = 19


@dataclass(frozen=True)
class Row:
    head: str
    recipe: str
    number: int
    outcome: str  # "implant", or why there is none
    seconds: float
    dsc: float = 0.0
    bdsc_10mm: float = 0.0
    hd95_mm: float = float("inf")
    implant_ml: float = 0.0


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def as_it_is(data: Path, name: str) -> Row:
    began = time.perf_counter()
    with scratch() as folder:
        try:
            reconstruct(data / f"heads/{name}.nii.gz", pretrained(), Options(folder / "i.nii.gz", None, None))
            outcome = "implant"
        except NoDefectError:
            outcome = "no defect found"
        except InputError as error:
            outcome = str(error).split(": ", 2)[1]
    return Row(name, "as it is", 0, outcome, time.perf_counter() - began)


def injected(job: tuple[Path, str, str, int]) -> list[Row]:
    """Cut defects of one recipe into one head, and reconstruct each."""
    data, name, recipe, count = job
    rows = []
    with scratch() as folder:
        scan = read_bone(data / f"heads/{name}.nii.gz", 300.0)
        write_nifti(folder / f"{name}.nii.gz", scan.labels, scan.affine)
        inject_skull(folder / f"{name}.nii.gz", recipe, count, SEED, folder / "cases", PRESET)
        for number, file in enumerate(sorted((folder / "cases").glob("*.nii.gz"))):
            rows.append(scored(name, recipe, number, file, folder / "implant.nii.gz"))
            print(rows[-1], flush=True)
    return rows


def scored(name: str, recipe: str, number: int, file: Path, out: Path) -> Row:
    began = time.perf_counter()
    image = nibabel.load(file)
    labels = np.asanyarray(image.dataobj)
    spacing = tuple(float(mm) for mm in np.linalg.norm(image.affine[:3, :3], axis=0))
    volume_ml = np.count_nonzero(labels == 2) * np.prod(spacing) / 1000
    try:
        reconstruct(file, pretrained(), Options(out, None, None))
    except (NoDefectError, InputError) as error:
        why = "no defect found" if isinstance(error, NoDefectError) else str(error).split(": ", 2)[1]
        return Row(name, recipe, number, why, time.perf_counter() - began, implant_ml=float(volume_ml))
    found = np.asanyarray(nibabel.load(out).dataobj)
    figures = asdict(score(found, labels == 2, labels == 1, spacing))
    chosen = {key: figures[key] for key in ("dsc", "bdsc_10mm", "hd95_mm")}
    seconds = time.perf_counter() - began
    return Row(name, recipe, number, "implant", seconds, **chosen, implant_ml=float(volume_ml))


def line(name: str, rows: list[Row]) -> str:
    """Format means over cases; a case without an implant has DSC 0 and no distance."""
    dsc, bdsc = (np.array([getattr(row, key) for row in rows]) for key in ("dsc", "bdsc_10mm"))
    distances = [row.hd95_mm for row in rows if np.isfinite(row.hd95_mm)]
    none = sum(row.outcome != "implant" for row in rows)
    seconds = np.median([row.seconds for row in rows])
    return (
        f"| {name} | {len(rows)} | {dsc.mean():.3f} | {np.median(dsc):.3f} | {dsc.min():.3f} "
        f"| {bdsc.mean():.3f} | {np.mean(distances):.2f} mm | {none} | {seconds:.0f} s |"
    )


def main(data: Path, target: Path, processes: int) -> None:
    whole = [as_it_is(data, name) for name in (*HEADS, ANKLES)]
    print(whole, flush=True)
    jobs = [(data, name, recipe, count) for name in HEADS for recipe, count in RECIPES.items()]
    with Pool(processes, maxtasksperchild=5) as pool:
        rows = [row for some in pool.imap_unordered(injected, jobs, chunksize=1) for row in some]
    head = (
        "| {} | cases | DSC, mean | median | least | bDSC | HD95 | no implant | time |\n" + "|---" * 9 + "|"
    )
    refused = [row for row in rows if row.outcome != "implant"]
    worst = sorted(rows, key=lambda row: row.dsc)[:8]
    parts = [
        header("Heads of other scanners", "python benchmarks/heads.py DATA benchmarks/heads.md"),
        "The pretrained model; bone from 300 HU. A case without an implant counts with a DSC of 0.",
        "## As they are",
        "\n".join(["| CT | outcome | time |", "|---|---|---|"])
        + "\n"
        + "\n".join(f"| {row.head} | {row.outcome} | {row.seconds:.0f} s |" for row in whole),
        "## With injected defects, by head",
        "\n".join(
            [
                head.format("CT"),
                *(line(n, [r for r in rows if r.head == n]) for n in HEADS),
                line("all", rows),
            ]
        ),
        "## By recipe",
        "\n".join([head.format("recipe"), *(line(n, [r for r in rows if r.recipe == n]) for n in RECIPES)]),
        "## The worst",
        "\n".join(
            f"- {row.head}, {row.recipe} {row.number}: DSC {row.dsc:.3f}, {row.implant_ml:.0f} ml, "
            f"{row.outcome}"
            for row in worst
        ),
        f"Without an implant: {len(refused)} of {len(rows)}.",
    ]
    target.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
