"""Verification of a finished run: its files against the manifest, and recomputed shards against its files."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from calvaria.config import Config, load, parse
from calvaria.errors import StoreError
from calvaria.pipeline.diff import changes
from calvaria.pipeline.manifest import read_manifest, sha256
from calvaria.pipeline.plan import jobs
from calvaria.pipeline.provenance import provenance
from calvaria.pipeline.stage import Job, Stage
from calvaria.storage.paths import Run


def faults(run: Run) -> list[str]:
    """Return the differences from the manifest, one line each; empty if every file is unchanged.

    Raises:
        StoreError: if there is no manifest, or it is damaged.
    """
    manifest = read_manifest(run)
    lines = []
    for name, digest in manifest["files"].items():
        path = run.root / name
        # Jobs also write a store's metadata, which is not a declared output in Snakemake.
        also = f"delete {_whole(path)} and " if path.name == "zarr.json" else ""
        if not path.is_file():
            lines.append(f"{path}: missing; {also}run snakemake again, which writes it")
        elif sha256(path) != digest:
            lines.append(f"{path}: damaged or changed; {also or 'delete it and '}run snakemake again")
    if load(run.config).model_dump(mode="json") != manifest["config"]:
        lines.append(f"{run.config}: not the config of the manifest; run snakemake again with either")
    return lines


def choose(
    stages: Sequence[Stage], run: Run, count: int, rng: np.random.Generator
) -> tuple[Config, list[Job]]:
    """Return the config of a finished run, and ``count`` random jobs that write a shard, or all if fewer.

    Raises:
        StoreError: if there is no manifest, or it is damaged.
    """
    config = parse(read_manifest(run)["config"], f"{run.manifest}: config")
    sharded = [job for job in jobs(stages, run, config, len(run.ingest)) if job.stage.recomputable]
    chosen = rng.choice(len(sharded), size=min(count, len(sharded)), replace=False)
    return config, [sharded[number] for number in sorted(chosen)]


def recompute(run: Run, config: Config, job: Job) -> list[str]:
    """Run one job again in a temporary directory and compare its files with the manifest.

    The job's inputs are linked from the run, which must have no ``faults``.

    Returns:
        the paths of files that differ, relative to the run.

    Raises:
        StoreError: if the job did not write its files.
        InputError: if the sources of the run are not where the config says.
    """
    expected = read_manifest(run)["files"]
    outputs = {_whole(path.relative_to(run.root)) for path in job.outputs}
    with tempfile.TemporaryDirectory(prefix="calvaria-") as directory:
        again = Run(Path(directory) / "again")
        _link(run.root.resolve(), again.root, outputs)
        job.run(again, config)
        digests = {
            name: sha256(again.root / name)
            for name in expected
            if any(Path(name).is_relative_to(output) for output in outputs) and (again.root / name).is_file()
        }
    missing = {path.relative_to(run.root).as_posix() for path in job.outputs} - set(digests)
    if missing:
        raise StoreError(f"{job.name}: when recomputed, it did not write {', '.join(sorted(missing))}")
    return [name for name in digests if digests[name] != expected[name]]


def environment_changes(run: Run, config: Config) -> list[str]:
    """Return the changes of code, versions and hardware since the run, one line each."""
    lines = changes(read_manifest(run), provenance(config))
    return ["code, versions and hardware, then -> now:", *lines] if lines else []


def _whole(path: Path) -> Path:
    """Return the store that a file belongs to, or the file itself."""
    return next((parent for parent in path.parents if parent.suffix == ".zarr"), path)


def _link(source: Path, target: Path, without: set[Path], inside: Path = Path()) -> None:
    """Link a directory recursively, except for some paths, which are relative to its root."""
    target.mkdir()
    for entry in source.iterdir():
        path = inside / entry.name
        if path in without:
            continue
        if any(excluded.is_relative_to(path) for excluded in without):
            _link(entry, target / entry.name, without, path)
        else:
            (target / entry.name).symlink_to(entry)
