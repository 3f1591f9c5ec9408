"""Loading cases of 256 cubed: a packed store compared with a run's store, NIfTI and ``.npz`` files.

    python benchmarks/loading.py DATA

DATA is a folder of label volumes of real skulls, which are resampled as by ``ingest`` and written in every
format. Reads are random; an item is the defective skull and the implant as two uint8 tensors, and every
memory page of both is touched. The files are in the page cache. Times are CPU times of one thread.
``.nii.gz`` is written by nibabel, ``.npz`` by ``numpy.savez_compressed``.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import nibabel
import numpy as np
import torch
from environment import header
from torch.utils.data import DataLoader, Dataset

from calvaria import sources
from calvaria.geometry.grid import BONE, IMPLANT, Grid
from calvaria.skull.examine import examine
from calvaria.sources.folder import FolderSource
from calvaria.storage.dataset import SkullDataset, unpack
from calvaria.storage.packed import write_packed
from calvaria.storage.store import Store, digest, write_shard

SHAPE = (256, 256, 256)
TOP_MARGIN_MM = 10.0
TURNS, WARM = 3, 4
TWO = ("defective_skull.nii.gz", "implant.nii.gz")  # as in SkullFix, SkullBreak and MUG500+
NIFTI = "`.nii.gz`, one of labels, nibabel"
MONAI = "the same file, MONAI's LoadImage"
TWO_NIFTI = "two `.nii.gz`, as challenges publish them, nibabel"


Masks = tuple[np.ndarray, np.ndarray]


class FileDataset(Dataset[dict[str, torch.Tensor]]):
    """Items like those of `SkullDataset`, from one path per case."""

    def __init__(self, paths: Sequence[Path], read: Callable[[Path], Masks]) -> None:
        self.paths, self.read = list(paths), read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        masks = zip(("defective", "implant"), self.read(self.paths[index]), strict=True)
        return {key: torch.from_numpy(mask)[None] for key, mask in masks}


def split(labels: np.ndarray) -> Masks:
    return (labels == BONE).view(np.uint8), (labels == IMPLANT).view(np.uint8)


def read_nifti(path: Path) -> Masks:
    return split(np.asarray(nibabel.load(path).dataobj))


def read_two_nifti(folder: Path) -> Masks:
    defective, implant = (np.asarray(nibabel.load(folder / name).dataobj) for name in TWO)
    return defective, implant


def read_monai(path: Path) -> Masks:
    from monai.transforms import LoadImage

    return split(LoadImage(image_only=True, dtype=np.uint8)(path).numpy())


def read_npz(path: Path) -> Masks:
    with np.load(path) as file:
        return split(file["labels"])


Opened = SkullDataset | FileDataset


@dataclass
class Format:
    """A storage format of cases."""

    name: str
    data: Opened
    bytes_a_case: float
    write_s: float


def cases(folder: Path, count: int, spacing_mm: float) -> Iterator[np.ndarray]:
    """Yield (256, 256, 256) uint8 labels of skulls at regular intervals in the folder."""
    grid = Grid(SHAPE, spacing_mm)
    named = {"skulls": FolderSource(kind="folder", path=folder)}
    entries = sources.catalogue(named)
    for entry in entries[:: max(1, len(entries) // count)][:count]:
        yield examine(sources.read(named, entry, 0), grid, TOP_MARGIN_MM).labels


def written(place: Path, volumes: np.ndarray, grid: Grid) -> list[Format]:
    """Write the same cases in every format."""
    rows = [{"index": i, "sha256": digest(volume)} for i, volume in enumerate(volumes)]
    count = len(volumes)
    packed, store = place / "packed.zarr", place / "run.zarr"
    nifti = [place / f"{i}.nii.gz" for i in range(count)]
    folders = [place / f"{i}" for i in range(count)]
    npz = [place / f"{i}.npz" for i in range(count)]

    def save(mask: np.ndarray, path: Path) -> None:
        nibabel.save(nibabel.Nifti1Image(mask, grid.affine), path)

    def save_nifti() -> None:
        for path, volume in zip(nifti, volumes, strict=True):
            save(volume, path)

    def save_two_nifti() -> None:
        for folder, volume in zip(folders, volumes, strict=True):
            folder.mkdir()
            for name, mask in zip(TWO, split(volume), strict=True):
                save(mask, folder / name)

    def save_npz() -> None:
        for path, volume in zip(npz, volumes, strict=True):
            np.savez_compressed(path, labels=volume)

    def save_packed() -> None:
        write_packed(packed, iter(volumes), rows, count, grid, cases=True)

    def save_store() -> None:
        write_shard(Store(store), 0, count, count, grid, volumes, [{} for _ in rows])

    writers: list[tuple[Callable[[], None], list[Path], dict[str, Callable[[], Opened]]]] = [
        (
            save_packed,
            [packed],
            {
                "calvaria, packed (`calvaria publish`)": lambda: SkullDataset(packed),
                "the same, bits for `unpack` on the device": lambda: SkullDataset(packed, ("planes",)),
            },
        ),
        (save_store, [store], {"calvaria, a run's store": lambda: SkullDataset(store)}),
        (
            save_nifti,
            nifti,
            {NIFTI: lambda: FileDataset(nifti, read_nifti), MONAI: lambda: FileDataset(nifti, read_monai)},
        ),
        (save_two_nifti, folders, {TWO_NIFTI: lambda: FileDataset(folders, read_two_nifti)}),
        (save_npz, npz, {"`.npz`, numpy": lambda: FileDataset(npz, read_npz)}),
    ]
    formats = []
    for write, paths, openers in writers:
        began = time.process_time()
        write()
        seconds = (time.process_time() - began) / count
        size = sum(
            file.stat().st_size
            for path in paths
            for file in (path.rglob("*") if path.is_dir() else [path])
            if file.is_file()
        )
        formats += [Format(name, opened(), size / count, seconds) for name, opened in openers.items()]
    return formats


def read_s(data: Opened, indices: Sequence[int]) -> list[float]:
    """Return the CPU seconds of each read on one thread."""
    torch.set_num_threads(1)
    took = []
    for index in indices:
        began = time.process_time()
        item = data[index]
        for tensor in item.values():
            if isinstance(tensor, torch.Tensor):
                tensor.numpy().ravel("K")[::4096].sum()
        took.append(time.process_time() - began)
    return took


def quartile_s(formats: list[Format], reads: int) -> np.ndarray:
    """Return (formats,) CPU seconds per item, the lower quartile of random reads.

    Formats take `TURNS` turns, each in a separate process, because the memory state left by another format
    would affect the times. The first reads of a process are discarded.
    """
    rng = np.random.default_rng(0)
    found: list[list[float]] = [[] for _ in formats]
    for _ in range(TURNS):
        indices = rng.integers(len(formats[0].data), size=WARM + math.ceil(reads / TURNS)).tolist()
        for number in rng.permutation(len(formats)):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                took = alone.submit(read_s, formats[number].data, indices).result()
            found[number].extend(took[WARM:])
    return np.percentile(found, 25, axis=1)


def loaded_a_second(data: Dataset[dict[str, torch.Tensor]], items: int) -> float:
    """Return items per second of two spawned workers with batches of one item, including the first item."""
    order = [int(i) for i in np.random.default_rng(1).integers(len(data), size=items + 2)]
    loader = DataLoader(data, sampler=order, num_workers=2, multiprocessing_context="spawn")
    batches = iter(loader)
    for _ in range(2):
        next(batches)
    began = time.perf_counter()
    for _ in batches:
        pass
    return items / (time.perf_counter() - began)


def table(folder: Path, count: int, spacing_mm: float, reads: int) -> list[str]:
    grid = Grid(SHAPE, spacing_mm)
    volumes = np.stack(list(cases(folder, count, spacing_mm)))
    with tempfile.TemporaryDirectory() as place:
        formats = written(Path(place), volumes, grid)
        for one in formats:
            item = one.data[0]
            defective, implant = (
                unpack(item["planes"]) if "planes" in item else (item["defective"][0], item["implant"][0])
            )
            assert np.array_equal(defective + 2 * implant, volumes[0]), one.name
        seconds = quartile_s(formats, reads)
        loaded = [loaded_a_second(one.data, reads) for one in formats]
    one_file, two_files = (
        next(number for number, one in enumerate(formats) if one.name == name) for name in (NIFTI, TWO_NIFTI)
    )
    lines = [
        "",
        f"## {count} cases at {spacing_mm:g} mm",
        "",
        "| format | bytes a case | of one `.nii.gz` | s to write one | random reads a second "
        "| times one `.nii.gz` | times two | cases a second of 2 spawned workers | times one `.nii.gz` "
        "| times two |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one, s, rate in zip(formats, seconds, loaded, strict=True):
        size = one.bytes_a_case
        lines.append(
            f"| {one.name} | {size:,.0f} | {size / formats[one_file].bytes_a_case:.2f} "
            f"| {one.write_s:.2f} | {1 / s:.0f} | {seconds[one_file] / s:.1f} | {seconds[two_files] / s:.1f} "
            f"| {rate:.1f} | {rate / loaded[one_file]:.1f} | {rate / loaded[two_files]:.1f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--reads", type=int, default=60)
    parser.add_argument("--spacing-mm", type=float, nargs="+", default=[1.0, 0.9])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        header(
            "Loading: cases of 256 x 256 x 256 voxels",
            f"python benchmarks/loading.py DATA --count {given.count} --reads {given.reads}",
        ),
        "",
    ]
    lines += [
        "Real skulls with the defects that they came with. An item is the defective skull and the implant as",
        f"two uint8 tensors. Reads: seconds of CPU on one thread, the lower quartile of {given.reads} random",
        "reads, each format in processes of its own that take turns, from the system's cache. Workers also",
        "collate, and go by the clock.",
    ]
    for spacing_mm in given.spacing_mm:
        lines += table(given.data, given.count, spacing_mm, given.reads)
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
