"""Whether a run is what its manifest says, and whether it can be made again."""

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
    """What differs from the manifest, a line per fault; empty if every byte is as it was.

    Raises:
        StoreError: if there is no manifest, or it is damaged.
    """
    manifest = read_manifest(run)
    found = []
    for name, wanted in manifest["files"].items():
        path = run.root / name
        # Jobs that write shards write a store's metadata, too, but Snakemake does not know of it.
        also = f"delete {_whole(path)} and " if path.name == "zarr.json" else ""
        if not path.is_file():
            found.append(f"{path}: missing; {also}run snakemake again, which makes it")
        elif sha256(path) != wanted:
            found.append(f"{path}: damaged or changed; {also or 'delete it and '}run snakemake again")
    if load(run.config).model_dump(mode="json") != manifest["config"]:
        found.append(f"{run.config}: not the config of the manifest; run snakemake again with either")
    return found


def choose(
    stages: Sequence[Stage], run: Run, count: int, rng: np.random.Generator
) -> tuple[Config, list[Job]]:
    """The config of a finished run, and so many of its jobs that write a shard; all, if there are fewer.

    Raises:
        StoreError: if there is no manifest, or it is damaged.
    """
    config = parse(read_manifest(run)["config"], f"{run.manifest}: config")
    sharded = [job for job in jobs(stages, run, config, len(run.ingest)) if job.stage.recomputable]
    chosen = rng.choice(len(sharded), size=min(count, len(sharded)), replace=False)
    return config, [sharded[number] for number in sorted(chosen)]


def recompute(run: Run, config: Config, job: Job) -> list[str]:
    """Do the work of one job again, in a directory that is deleted afterwards.

    What it is made from is linked from the run, which has to be whole: see ``faults``.

    Returns:
        those of the files that it wrote whose bytes are not those of the manifest, relative to the run.

    Raises:
        StoreError: if it did not write its files.
        InputError: if the sources of the run are no longer where the config says.
    """
    wanted = read_manifest(run)["files"]
    made = {_whole(path.relative_to(run.root)) for path in job.outputs}
    with tempfile.TemporaryDirectory(prefix="calvaria-") as directory:
        again = Run(Path(directory) / "again")
        _link(run.root.resolve(), again.root, made)
        job.run(again, config)
        found = {
            name: sha256(again.root / name)
            for name in wanted
            if any(Path(name).is_relative_to(whole) for whole in made) and (again.root / name).is_file()
        }
    missing = {path.relative_to(run.root).as_posix() for path in job.outputs} - set(found)
    if missing:
        raise StoreError(f"{job.name}: run again, it did not write {', '.join(sorted(missing))}")
    return [name for name in found if found[name] != wanted[name]]


def made_otherwise(run: Run, config: Config) -> list[str]:
    """Why shards may come out otherwise: how code, versions and hardware differ then and now, a line each."""
    found = changes(read_manifest(run), provenance(config))
    return ["code, versions and hardware, then -> now:", *found] if found else []


def _whole(path: Path) -> Path:
    """The store that a file belongs to, or the file itself."""
    return next((parent for parent in path.parents if parent.suffix == ".zarr"), path)


def _link(source: Path, target: Path, without: set[Path], inside: Path = Path()) -> None:
    """Link everything of a directory but some paths, given relative to the top."""
    target.mkdir()
    for entry in source.iterdir():
        place = inside / entry.name
        if place in without:
            continue
        if any(path.is_relative_to(place) for path in without):
            _link(entry, target / entry.name, without, place)
        else:
            (target / entry.name).symlink_to(entry)
