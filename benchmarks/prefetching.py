"""Prefetching of training batches: threads of `calvaria.training.prefetch` or processes of a DataLoader.

    python benchmarks/prefetching.py

Both prepare the coarse network's batches, which depend only on their step, from a run's store of phantoms:
on the demo's grid, and on that of `workflow/presets/skullfix.yaml`, whose batches have new defects.
Measurements take turns, each in a separate process forked after the imports. All methods are asserted to
yield the same bytes.
"""

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from environment import header
from torch.utils.data import DataLoader

from calvaria import sources
from calvaria.config import Config, load
from calvaria.defects.injection import inject_defect
from calvaria.reconstruction.coarse.network import network_input, network_target, new_network
from calvaria.reconstruction.coarse.training import Batch, Member, supervised_loss
from calvaria.skull.examine import examine
from calvaria.sources.phantom import PhantomSource
from calvaria.storage.paths import Run
from calvaria.storage.store import write_shard
from calvaria.training.device import prepare_device
from calvaria.training.prefetch import DEPTH, Prefetcher

ROOT = Path(__file__).parents[1]
CONFIGS = {"demo": ROOT / "config.yaml", "skullfix": ROOT / "workflow" / "presets" / "skullfix.yaml"}
ARM = "geometric"
SKULLS = 8
# Methods of preparing batches, and their numbers of threads or processes.
WAYS = [("on demand", 0), ("threads", 1), ("threads", 2), ("fork", 1), ("fork", 2), ("spawn", 1)]
TRAINED = 6  # steps
NAMES = {
    "on demand": "on demand",
    "threads": "`Prefetcher`, threads: {n}",
    "fork": "`DataLoader`, forked workers: {n}",
    "spawn": "`DataLoader`, spawned workers: {n}",
}


@dataclass(frozen=True)
class Steps:
    """A data set for a DataLoader whose items are the batches of the steps."""

    make: Callable[[int], object]
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, step: int) -> object:
        return self.make(step)


def unchanged(batch: object) -> object:
    return batch


def write_run(run: Run, config: Config) -> None:
    """Write the cases of the real family, cut into phantoms."""
    grid = config.grid.voxels()
    named = {"phantoms": PhantomSource(kind="phantom", count=SKULLS)}
    cases = []
    for number, entry in enumerate(sources.catalogue(named)):
        skull = examine(sources.read(named, entry, 0), grid, config.ingest.top_margin_mm).labels

        def generator(attempt: int, number: int = number) -> np.random.Generator:
            return np.random.default_rng((number, attempt))

        cases.append(inject_defect(skull, grid, config.inject, generator).labels)
    write_shard(run.inject("real"), 0, SKULLS, SKULLS, grid, np.stack(cases), [{}] * SKULLS)


def memory_mb() -> float:
    """Return the memory that this process and its children share with no other process."""
    kilobytes = 0
    for process in (os.getpid(), *children()):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return kilobytes / 1024


def children() -> list[int]:
    return [int(one) for one in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def measure(config: Config, run: Run, way: str, workers: int, count: int) -> dict[str, object]:
    """Measure fetching the batches prepared by one method, then training with them."""
    member = Member(run, config, ARM, 0)
    without = config.model_copy(update={"train": config.train.model_copy(update={"completion": 0})})
    network = new_network(without, 0)
    before = memory_mb()

    def batches() -> Generator[Batch, None, None]:
        if way in ("fork", "spawn"):
            yield from data_loader(member, count, way, workers)
        else:
            prefetcher = Prefetcher(member.batch, count, config.model_copy(update={"loaders": workers}))
            yield from map(prefetcher, range(count))

    sha256 = hashlib.sha256()
    began = time.perf_counter()
    taken = batches()
    for number, (labels, changes) in enumerate(taken):
        if number == 0:
            first_s = time.perf_counter() - began
        sha256.update(labels.numpy().tobytes() + repr(changes).encode())
        if number == count // 2:
            memory = memory_mb() - before
    rate = (count - 1) / (time.perf_counter() - began - first_s)
    optimiser = torch.optim.Adam(network.parameters())
    training = batches()
    for number, (labels, _) in enumerate(islice(training, TRAINED)):
        if number == 1:
            began = time.perf_counter()
        target = network_target(labels, config.train.predicts)
        optimiser.zero_grad()
        supervised_loss(network.level_logits(network_input(labels, config.train.mirror)), target).backward()
        optimiser.step()
    steps = (TRAINED - 1) / (time.perf_counter() - began)
    training.close()
    return {
        "first_s": first_s,
        "batches": rate,
        "steps": steps,
        "memory_mb": memory,
        "digest": sha256.hexdigest(),
    }


def forked(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process forked from this one, which has no threads."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as alone:
        return alone.submit(function, *arguments).result()


def wait_to_be_killed(loader: DataLoader[object], tell: Connection) -> None:
    """Fetch a batch, send the workers' process ids, and wait."""
    batches = iter(loader)
    next(batches)
    tell.send(children())
    time.sleep(600)


def outlived_s(loader: DataLoader[object]) -> float:
    """Return for how many seconds workers outlive a training that SIGKILL ends."""
    hear, tell = get_context("fork").Pipe(duplex=False)
    training = get_context("fork").Process(target=wait_to_be_killed, args=(loader, tell))
    training.start()
    workers = hear.recv()
    training.kill()
    began = time.perf_counter()
    while any(is_running(worker) for worker in workers):
        time.sleep(0.05)
    training.join()
    return time.perf_counter() - began


def is_running(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def data_loader(member: Member, count: int, way: str, workers: int) -> DataLoader[object]:
    return DataLoader(
        Steps(member.batch, count),  # type: ignore[arg-type]
        batch_size=None,
        sampler=range(count),
        num_workers=workers,
        prefetch_factor=DEPTH,
        multiprocessing_context=way,
        collate_fn=unchanged,
    )


def table(name: str, folder: Path, turns: int, count: int) -> list[str]:
    config, run = load(CONFIGS[name]), Run(folder)
    forked(write_run, run, config)
    found: dict[tuple[str, int], list[dict[str, object]]] = {way: [] for way in WAYS}
    rng = np.random.default_rng(0)
    for _ in range(turns):
        for number in rng.permutation(len(WAYS)):
            found[WAYS[number]].append(forked(measure, config, run, *WAYS[number], count))
    digests = {one["digest"] for several in found.values() for one in several}
    assert len(digests) == 1, "the ways yield different batches"
    member = Member(run, config, ARM, 0)
    outlived = {way: outlived_s(data_loader(member, 10_000, way, 1)) for way in ("fork", "spawn")}
    lines = [
        "",
        f"## {name}",
        "",
        f"Grid {config.grid.shape}, batches of {config.train.optimiser.batch_size}, new defects: "
        f"{config.train.fresh_defects}; {count} batches, {turns} turns; median (least to most).",
        "",
        "| batches | s until the first | batches a second | steps a second | MB more | s that workers "
        "outlive a killed training |",
        "|---|---|---|---|---|---|",
    ]
    for (way, workers), several in found.items():
        cells = []
        for key in ("first_s", "batches", "steps", "memory_mb"):
            values = [float(str(one[key])) for one in several]
            cells.append(f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})")
        title = NAMES[way].format(n=workers)
        left = f"{outlived[way]:.1f}" if way in outlived and workers == 1 else ""
        lines.append(f"| {title} | {' | '.join(cells)} | {left} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--count", type=int, default=40, help="batches of a measurement")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = parser.parse_args()
    prepare_device(load(CONFIGS["demo"]))
    lines = [
        header(
            "Prefetching: threads or processes",
            f"python benchmarks/prefetching.py --turns {given.turns} --count {given.count}",
        ),
        "",
        "The coarse network's batches, of the arm `geometric`. *Batches a second*: they are only taken;",
        "*steps a second*: a network without completion trains with them. *MB more*: private memory",
        "of the process and its workers above that before the first batch. All ways yield the same bytes.",
    ]
    for name in CONFIGS:
        with tempfile.TemporaryDirectory() as folder:
            lines += table(name, Path(folder), given.turns, given.count)
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
