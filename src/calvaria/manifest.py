"""The manifest: SHA-256 of every file that matters, and one digest of them all."""

import hashlib
from importlib.metadata import version
from pathlib import Path

from calvaria import __version__
from calvaria.config import Config
from calvaria.errors import StoreError
from calvaria.paths import Run
from calvaria.store import read_json, write_json

VERSIONED = ("antspyx", "diffusers", "monai", "numcodecs", "numpy", "safetensors", "scipy", "torch", "zarr")


def data_files(run: Run, config: Config) -> list[Path]:
    """The files that make up a run, relative to its root: stores, tables, weights, records."""
    stores = [run.ingest, run.inject("validation"), run.inject("test")]
    shards = range(-(-len(run.ingest) // config.ingest.shard_size))
    single = [run.people, run.split, run.limits, *(run.vaults(shard) for shard in shards)]
    for family in config.fit:
        stores += [run.sample(family), run.screen(family), run.inject(family)]
        single += [run.fit(family) / "model.safetensors", run.fit(family) / "fit.json", run.audit(family)]
        for batch in range(config.batches(family, len(run.ingest))):
            single += [run.fields(family, batch), run.registrations(family, batch)]
        if getattr(config.fit[family], "mode", None) == "template":
            single.append(run.template(family))
    for arm in config.train.arms:
        stores.append(run.evaluate(arm))
        for seed in range(config.train.seeds):
            single += [run.train(arm, seed) / name for name in ("model.safetensors", "train.json")]
    if config.refine:
        single += [run.refine / name for name in ("model.safetensors", "refine.json")]
    for store in stores:
        found = [
            path for path in store.path.rglob("*") if path.is_file() and not path.name.endswith(".partial")
        ]
        if not found:
            raise StoreError(f"{store.path}: no such store; run the stage that makes it")
        single += found
    return sorted(path.relative_to(run.root) for path in single)


def sha256(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        StoreError: if it is missing.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; run the stage that makes it") from None


def digest(files: dict[str, str]) -> str:
    """One digest of all files: SHA-256 of their sorted names and digests."""
    text = "".join(f"{value}  {name}\n" for name, value in sorted(files.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def write_manifest(run: Run, config: Config) -> None:
    """Writes ``manifest.json`` of a finished run."""
    files = {path.as_posix(): sha256(run.root / path) for path in data_files(run, config)}
    versions = {"calvaria": __version__, **{name: version(name) for name in VERSIONED}}
    content = {"digest": digest(files), "config": config.model_dump(mode="json"), "versions": versions}
    write_json(run.manifest, {**content, "files": files})


def verify(run: Run) -> list[str]:
    """What differs from the manifest, a line per fault; empty if every byte is as it was."""
    files: dict[str, str] = read_json(run.manifest)["files"]
    faults = []
    for name, wanted in files.items():
        path = run.root / name
        if not path.is_file():
            faults.append(f"{path}: missing; delete what depends on it and run again")
        elif sha256(path) != wanted:
            faults.append(f"{path}: damaged or changed; delete it and run again")
    if digest(files) != read_json(run.manifest)["digest"]:
        faults.append(f"{run.manifest}: its own digest does not match its list of files")
    return faults
