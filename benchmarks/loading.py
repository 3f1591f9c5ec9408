"""Loading cases of 256 cubed: a packed store beside a run's store, NIfTI files and ``.npz`` files.

    python benchmarks/loading.py DATA

DATA is a folder of label volumes of real skulls. They are laid onto the grid as ``ingest`` does it, and
written in every format, side by side. Reads are random and take turns; what is read is an item, the defective
skull and the implant as two uint8 tensors, and every page of both is touched. The files are in the system's
cache. Times of one process are its CPU time: all formats use one thread, and other jobs do not count.
``.nii.gz`` is what nibabel writes, ``.npz`` what ``numpy.savez_compressed`` does.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import torch
from environment import header
from torch.utils.data import DataLoader, Dataset

from calvaria import sources
from calvaria.config import FolderSource
from calvaria.conform.examine import examine
from calvaria.dataset import SkullDataset, unpack
from calvaria.grid import BONE, IMPLANT, Grid
from calvaria.packed import write_packed
from calvaria.store import Store, digest, write_shard

SHAPE = (256, 256, 256)
TOP_MARGIN_MM = 10.0


class FileDataset(Dataset[dict[str, torch.Tensor]]):
    """Items like those of `SkullDataset`, from one file a case."""

    def __init__(self, paths: Sequence[Path], read: Callable[[Path], np.ndarray]) -> None:
        self.paths, self.read = list(paths), read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        labels = self.read(self.paths[index])
        masks = {"defective": labels == BONE, "implant": labels == IMPLANT}
        return {key: torch.from_numpy(mask.view(np.uint8))[None] for key, mask in masks.items()}


def read_nifti(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


def read_monai(path: Path) -> np.ndarray:
    from monai.transforms import LoadImage

    return LoadImage(image_only=True, dtype=np.uint8)(path).numpy()


def read_npz(path: Path) -> np.ndarray:
    with np.load(path) as file:
        return file["labels"]


@dataclass
class Format:
    """One way to keep cases."""

    name: str
    data: Dataset[dict[str, torch.Tensor]]
    bytes_a_case: float
    write_s: float


def cases(folder: Path, count: int, spacing_mm: float) -> Iterator[np.ndarray]:
    """(256, 256, 256) uint8 labels of every so manieth skull of the folder."""
    grid = Grid(SHAPE, spacing_mm)
    named = {"skulls": FolderSource(kind="folder", path=folder)}
    entries = sources.catalogue(named)
    for entry in entries[:: max(1, len(entries) // count)][:count]:
        yield examine(sources.read(named, entry, 0), grid, TOP_MARGIN_MM).labels


def written(place: Path, volumes: np.ndarray, grid: Grid) -> list[Format]:
    """The same cases in every format."""
    rows = [{"index": i, "sha256": digest(volume)} for i, volume in enumerate(volumes)]
    count = len(volumes)
    packed, store = place / "packed.zarr", place / "run.zarr"
    nifti = [place / f"{i}.nii.gz" for i in range(count)]
    npz = [place / f"{i}.npz" for i in range(count)]
    affine = grid.affine

    def save_nifti() -> None:
        for path, volume in zip(nifti, volumes, strict=True):
            nibabel.save(nibabel.Nifti1Image(volume, affine), path)

    def save_npz() -> None:
        for path, volume in zip(npz, volumes, strict=True):
            np.savez_compressed(path, labels=volume)

    writers: dict[str, tuple[Callable[[], object], list[Path]]] = {
        "calvaria, packed (`calvaria publish`)": (
            lambda: write_packed(packed, iter(volumes), rows, count, grid, cases=True),
            [packed],
        ),
        "calvaria, a run's store": (
            lambda: write_shard(Store(store), 0, count, count, grid, volumes, [{} for _ in rows]),
            [store],
        ),
        "`.nii.gz`, nibabel": (save_nifti, nifti),
        "`.npz`, numpy": (save_npz, npz),
    }
    openers = [SkullDataset, SkullDataset, None, None]
    formats = []
    for (name, (write, paths)), kind in zip(writers.items(), openers, strict=True):
        began = time.process_time()
        write()
        seconds = (time.process_time() - began) / count
        size = sum(
            file.stat().st_size
            for path in paths
            for file in (path.rglob("*") if path.is_dir() else [path])
            if file.is_file()
        )
        opened = kind(paths[0]) if kind else FileDataset(paths, read_nifti if paths is nifti else read_npz)
        formats.append(Format(name, opened, size / count, seconds))
        if paths == [packed]:
            bits = SkullDataset(packed, ("planes",))
            formats.append(Format("the same, bits for `unpack` on a GPU", bits, size / count, seconds))
        if paths is nifti:
            by_monai = FileDataset(paths, read_monai)
            formats.append(Format("the same files, MONAI's LoadImage", by_monai, size / count, seconds))
    return formats


def read_s(formats: list[Format], reads: int) -> np.ndarray:
    """(reads, formats) seconds of CPU an item, in random order and turn by turn."""
    rng = np.random.default_rng(0)
    found = np.zeros((reads, len(formats)))
    for row in found:
        index = int(rng.integers(len(formats[0].data)))
        for number in rng.permutation(len(formats)):
            began = time.process_time()
            item = formats[number].data[index]
            for tensor in item.values():
                if isinstance(tensor, torch.Tensor):
                    tensor.numpy().ravel("K")[::4096].sum()
            row[number] = time.process_time() - began
    return found


def loaded_a_second(data: Dataset[dict[str, torch.Tensor]], items: int) -> float:
    """Items a second of two spawned workers, collated one by one, from the first on."""
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
        seconds = np.percentile(read_s(formats, reads), 25, axis=0)
        loaded = [loaded_a_second(one.data, reads) for one in formats]
    nifti = next(number for number, one in enumerate(formats) if "nii" in one.name)  # read by nibabel
    lines = [
        "",
        f"## {count} cases at {spacing_mm:g} mm",
        "",
        "| format | bytes a case | of `.nii.gz` | s to write one | random reads a second | times `.nii.gz` "
        "| cases a second of 2 spawned workers | times `.nii.gz` |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one, s, rate in zip(formats, seconds, loaded, strict=True):
        lines.append(
            f"| {one.name} | {one.bytes_a_case:,.0f} | {one.bytes_a_case / formats[nifti].bytes_a_case:.2f} "
            f"| {one.write_s:.2f} | {1 / s:.0f} | {seconds[nifti] / s:.1f} | {rate:.1f} "
            f"| {rate / loaded[nifti]:.1f} |"
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
        "reads with the formats in turn, from the system's cache. Workers also collate, and go by the clock.",
    ]
    for spacing_mm in given.spacing_mm:
        lines += table(given.data, given.count, spacing_mm, given.reads)
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
