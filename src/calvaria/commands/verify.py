"""Whether a run is what its manifest says, and whether it can be made again."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from calvaria.config import load
from calvaria.jobs import Job, jobs
from calvaria.manifest import read_manifest, sha256
from calvaria.paths import Run
from calvaria.progress import Progress

SHARDED = ("ingest", "sample", "screen", "inject", "evaluate")  # stages whose jobs write a shard


def faults(run: Run) -> list[str]:
    """What differs from the manifest, a line per fault; empty if every byte is as it was.

    Raises:
        StoreError: if there is no manifest, or it is damaged.
    """
    found = []
    for name, wanted in read_manifest(run)["files"].items():
        path = run.root / name
        if not path.is_file():
            found.append(f"{path}: missing; run snakemake again, which makes it")
        elif sha256(path) != wanted:
            found.append(f"{path}: damaged or changed; delete it and run snakemake again")
    return found


def recompute(run: Run, count: int, rng: np.random.Generator) -> Iterator[tuple[Job, list[Path]]]:
    """Makes random shards anew, from what they were made from, in a directory that is deleted again.

    Args:
        count: how many shards; all there are, if there are fewer.

    Yields:
        each job with those of its files that came out otherwise, relative to the run.
    """
    config = load(run.config)
    sharded = [job for job in jobs(run, config, len(run.ingest)) if job.stage in SHARDED]
    chosen = rng.choice(len(sharded), size=min(count, len(sharded)), replace=False)
    progress = Progress("recompute", len(chosen), "shards")
    for number in sorted(chosen):
        with tempfile.TemporaryDirectory(prefix="calvaria-") as directory:
            again = Run(Path(directory) / run.root.name)
            job = sharded[number]
            files = [path.relative_to(run.root) for path in job.outputs]
            _link(run.root.resolve(), again.root, {_whole(path) for path in files})
            job.run(again, config)
            differing = [path for path in files if sha256(again.root / path) != sha256(run.root / path)]
        progress.advance(job.name)
        yield job, differing


def _whole(path: Path) -> Path:
    """The store that a file belongs to, or the file itself."""
    return next((parent for parent in path.parents if parent.suffix == ".zarr"), path)


def _link(source: Path, target: Path, without: set[Path], inside: Path = Path()) -> None:
    """Links everything of a directory but some paths, given relative to the top."""
    target.mkdir()
    for entry in source.iterdir():
        place = inside / entry.name
        if place in without:
            continue
        if any(path.is_relative_to(place) for path in without):
            _link(entry, target / entry.name, without, place)
        else:
            (target / entry.name).symlink_to(entry)
