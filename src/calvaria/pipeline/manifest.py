"""The manifest: the files of a run, its provenance, and one digest of all its data.

The digest covers the names and bytes of stores, tables, weights and records only; it does not depend on
machine, path or time.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calvaria.config import Config
from calvaria.errors import StoreError
from calvaria.pipeline.plan import jobs
from calvaria.pipeline.provenance import provenance
from calvaria.pipeline.stage import Stage
from calvaria.storage.paths import Run
from calvaria.storage.store import METADATA, Store, read_json, write_json

KEYS = ("digest", "seed", "config", "code", "versions", "hardware", "precision", "ancestry", "files")


def stores(run: Run, config: Config) -> list[Store]:
    """Return all stores of a run."""
    cohorts = (*config.fit, "validation", "test")
    synthetic = [store(family) for family in config.fit for store in (run.sample, run.screen)]
    scored = [run.evaluate(arm) for arm in config.train.arms]
    return [run.ingest, *synthetic, *(run.inject(cohort) for cohort in cohorts), *scored]


def data_files(stages: Sequence[Stage], run: Run, config: Config) -> list[Path]:
    """Return the files that make up a run, relative to its root: stores, tables, weights, records."""
    every = jobs(stages, run, config, len(run.ingest))
    written = [path for job in every if job.stage.is_data for path in job.outputs]
    of_stores = {parent for path in written for parent in path.parents if parent.suffix == ".zarr"}
    metadata = [store / name for store in of_stores for name in METADATA]
    return sorted(path.relative_to(run.root) for path in (*written, *metadata))


def ancestry(run: Run, config: Config) -> dict[str, Any]:
    """Return the lineage of every store: the real skulls from which its volumes descend.

    Returns:
        by store: ``parents``, the distinct lists of ids of ingested skulls, and ``volumes``, the number of
        each volume's list.
    """
    lineage = {}
    for store in stores(run, config):
        if store.path == run.ingest.path:
            continue
        of_case = (
            [row["parents"] for row in run.inject("test").rows()]
            if store.path.parent.name == "evaluate"
            else []
        )
        lists = [of_case[row["case"]] if of_case else row["parents"] for row in store.rows()]
        numbers = {parents: number for number, parents in enumerate(dict.fromkeys(map(tuple, lists)))}
        lineage[store.path.relative_to(run.root).as_posix()] = {
            "parents": [list(parents) for parents in numbers],
            "volumes": [numbers[tuple(parents)] for parents in lists],
        }
    return lineage


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        StoreError: if it is missing.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; run the stage that makes it") from None


def digest(files: dict[str, str]) -> str:
    """Return one digest of all files: SHA-256 of their sorted names and digests."""
    text = "".join(f"{value}  {name}\n" for name, value in sorted(files.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def write_manifest(stages: Sequence[Stage], run: Run, config: Config) -> None:
    """Write ``manifest.json`` of a finished run."""
    files = {path.as_posix(): sha256(run.root / path) for path in data_files(stages, run, config)}
    content = {"digest": digest(files), "seed": config.seed, "config": config.model_dump(mode="json")}
    chosen = {"precision": read_json(run.precision)}
    record = {**provenance(config), **chosen, "ancestry": ancestry(run, config)}
    write_json(run.manifest, {**content, **record, "files": files})


def read_manifest(run: Run) -> dict[str, Any]:
    """Return the manifest of a finished run.

    Raises:
        StoreError: if there is none, or it is damaged, or its digest is not that of its list of files.
    """
    manifest: dict[str, Any] = read_json(run.manifest)
    if missing := [key for key in KEYS if key not in manifest]:
        raise StoreError(
            f"{run.manifest}: lacks {', '.join(missing)}, like manifests of older versions; "
            "delete it and run snakemake again"
        )
    if digest(manifest["files"]) != manifest["digest"]:
        raise StoreError(
            f"{run.manifest}: its own digest does not match its list of files; "
            "delete it and run snakemake again"
        )
    return manifest
