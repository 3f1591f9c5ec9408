"""Reading voxels: calvaria's readers compared with SimpleITK's in time, memory and detected damage.

    PYTHONPATH=. python benchmarks/readers.py CT MASK

CT is a head CT as NIfTI, MASK a skull as NRRD; both are written in every format. Calvaria's readers check
the header, decompress in pieces into one array, and compare the checksum. SimpleITK's `ReadImage`
decompresses; its array is copied, since the view does not outlive the image. Timed reads take turns, each
in a separate forked process. To simulate damage, one bit of the compressed voxels is flipped at evenly
spaced places: a reader that neither raises an error nor returns the true values is silently wrong.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import SimpleITK as itk
from environment import header, peak_gb

from calvaria.errors import InputError
from calvaria.sources.dicom import read_series
from calvaria.sources.volumes import read_volume
from tests.unit.builders import write_slice

PLACES = 5  # damaged bits tested in each file
PACKAGES = ("SimpleITK", "nibabel", "nrrd", "pydicom", "_gdcm", "gdcm.py")


def ours(path: Path) -> np.ndarray:
    return np.asarray((read_series(path) if path.is_dir() else read_volume(path)).values)


def theirs(path: Path) -> np.ndarray:
    if path.is_dir():
        reader = itk.ImageSeriesReader()
        reader.SetFileNames(itk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path)))
        image = reader.Execute()
    else:
        image = itk.ReadImage(str(path))
    view: np.ndarray = itk.GetArrayViewFromImage(image)
    return view.T.copy(order="K")  # the view does not outlive the image


READERS = {"calvaria": ours, "SimpleITK": theirs}


def written(folder: Path, ct: Path, mask: Path) -> dict[str, Path]:
    """Write the same voxels in every format."""
    head, skull = read_volume(ct), read_volume(mask)
    files = {}
    for name, values, affine in (("CT", head.values, head.affine), ("mask", skull.values, skull.affine)):
        image = itk.GetImageFromArray(np.ascontiguousarray(values.T))
        image.SetSpacing(np.linalg.norm(affine[:3, :3], axis=0).tolist())
        for ending, packed in ((".nii.gz", True), (".nrrd", True), (".mha", True), (".nrrd", False)):
            title = f"{name}, {ending}{'' if packed else ' unpacked'}"
            files[title] = folder / f"{name}{packed}{ending}"
            itk.WriteImage(image, str(files[title]), packed)
    slices = folder / "slices"
    slices.mkdir()
    whole = np.rint(head.values).astype(np.int16)
    for k in range(whole.shape[2]):
        pixels = np.ascontiguousarray(whole[:, :, k].T)
        position = f"0\\0\\{k}"
        write_slice(slices / f"{k:04d}.dcm", pixels, position=position, instance=f"1.2.3.4.{k + 1}")
    files["CT, DICOM slices"] = slices
    return files


def measure(name: str, path: Path) -> tuple[float, float]:
    """Return CPU seconds and peak memory in MB beyond that before the read."""
    before = peak_gb()
    began = time.process_time()
    values = READERS[name](path)
    seconds = time.process_time() - began
    values.ravel("K")[::4096].sum()
    return seconds, (peak_gb() - before) * 1024


def outcome(name: str, path: Path, truth: np.ndarray) -> str:
    try:
        values = READERS[name](path)
    except (InputError, RuntimeError):
        return "error"
    return "true" if np.array_equal(values, truth) else "wrong"


def silently_wrong(name: str, path: Path) -> int:
    """Return how many of `PLACES` damaged copies are read as wrong voxels without an error."""
    truth, content = ours(path), path.read_bytes()
    damaged = path.with_name(f"damaged-{path.name}")
    outcomes = []
    for place in np.linspace(0.3, 0.95, PLACES):
        changed = bytearray(content)
        changed[int(place * len(content))] ^= 0x10
        damaged.write_bytes(changed)
        outcomes.append(outcome(name, damaged, truth))
    damaged.unlink()
    return outcomes.count("wrong")


def forked(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process forked from this one, so that its peak memory can be measured."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as alone:
        return alone.submit(function, *arguments).result()


def installed_mb() -> list[str]:
    """Return the installed size of each reader's packages."""
    place = Path(itk.__file__).parents[1]
    sizes = []
    for package in PACKAGES:
        for path in place.glob(f"{package}*"):
            if path.suffix not in (".dist-info", ".libs"):
                kilobytes = subprocess.run(["du", "-sk", path], capture_output=True, text=True, check=True)
                sizes.append(f"{path.name.split('.')[0]} {int(kilobytes.stdout.split()[0]) / 1024:.1f}")
    return sizes


def table(ct: Path, mask: Path, turns: int) -> list[str]:
    with tempfile.TemporaryDirectory() as place:
        files = forked(written, Path(place), ct, mask)
        lines = [
            "| file | s, calvaria | s, SimpleITK | times | MB, calvaria | MB, SimpleITK | "
            f"silently wrong of {PLACES}, calvaria | SimpleITK |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for title, path in files.items():
            assert np.array_equal(ours(path), theirs(path)), title
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in READERS}
            for _ in range(turns):
                for name in READERS:
                    found[name].append(forked(measure, name, path))
            seconds = [median(one[0] for one in found[name]) for name in READERS]
            memory = [median(one[1] for one in found[name]) for name in READERS]
            wrong = ["", ""]
            if path.is_file() and "unpacked" not in title:
                wrong = [str(silently_wrong(name, path)) for name in READERS]
            lines.append(
                f"| {title} | {seconds[0]:.2f} | {seconds[1]:.2f} | {seconds[1] / seconds[0]:.2f} "
                f"| {memory[0]:.0f} | {memory[1]:.0f} | {wrong[0]} | {wrong[1]} |"
            )
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ct", type=Path)
    parser.add_argument("mask", type=Path)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = parser.parse_args()
    itk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    head, skull = (read_volume(path).values for path in (given.ct, given.mask))
    lines = [
        header("Reading voxels", f"PYTHONPATH=. python benchmarks/readers.py CT MASK --turns {given.turns}"),
        "",
        f"CT: {head.shape}, {head.dtype}; mask: {skull.shape}, {skull.dtype}. Seconds of CPU, and peak",
        f"memory beyond that before the read, medians of {given.turns} reads, each in a process of its own.",
        "Memory that a process had freed before and uses again does not count.",
        f"MB on disk: {', '.join(installed_mb())}.",
        "",
        *table(given.ct, given.mask, given.turns),
    ]
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
