"""Publish a finished run as a self-contained directory."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from calvaria.config import Config
from calvaria.errors import StoreError
from calvaria.pipeline.manifest import digest, read_manifest, sha256
from calvaria.pipeline.verify import faults
from calvaria.publishing.card import card
from calvaria.publishing.crate import crate
from calvaria.publishing.croissant import croissant
from calvaria.publishing.published import Published
from calvaria.publishing.selection import Part, families, select, shard_size
from calvaria.publishing.terms import Terms, check_terms
from calvaria.storage.outputs import check_new, new_folder
from calvaria.storage.packed import write_packed
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json, write_atomically, write_json
from calvaria.utils.progress import Progress

PROVENANCE = ("seed", "code", "versions", "hardware", "precision")  # of a run's manifest


def publish(run: Run, config: Config, out: Path, terms: Terms, real: bool) -> str:
    """Write a finished run's data set into a new directory, completely or not at all.

    Args:
        real: whether to publish real skulls as well.

    Returns:
        the data set's digest.

    Raises:
        InputError: if the directory exists and is not empty, or cannot be written.
        StoreError: if the run is not finished, or differs from its manifest.
        TermsError: if the licences are incomplete or contradict each other.
    """
    check_new(out)
    check_terms(config, terms)
    manifest = _verified(run)
    parts = select(run, config, real)
    with new_folder(out) as folder:
        _write_data(folder, run, config, parts, real)
        return _describe(folder, manifest, config, parts, terms, real)


def _verified(run: Run) -> dict[str, Any]:
    if differences := faults(run):
        raise StoreError("a run can be published only if it matches its manifest\n" + "\n".join(differences))
    return read_manifest(run)


def _write_data(partial: Path, run: Run, config: Config, parts: list[Part], real: bool) -> None:
    """Write stores, audits and the config; check every volume when reading it and after writing it."""
    progress = Progress("publish", 2 * sum(part.count for part in parts), "volumes")
    grid = config.grid.voxels()
    for part in parts:
        rows = part.source.rows()

        def counted(volumes: Any) -> Any:
            for volume in volumes:
                yield volume
                progress.advance()

        checked = counted(part.source.volumes(rows))
        size = shard_size(part.source)
        packed = write_packed(partial / part.path, checked, rows, size, grid, part.cases)
        for _ in counted(packed.volumes(packed.rows())):
            pass
    for family in families(config, real):
        write_json(partial / "audit" / f"{family}.json", read_json(run.audit(family)))
    write_atomically(partial / "config.yaml", yaml.safe_dump(_public(config), sort_keys=False))


def _public(config: Config) -> dict[str, Any]:
    """Return the config without local paths, which may reveal people and projects."""
    public = config.model_dump(mode="json")
    for name, source in public["ingest"]["sources"].items():
        if "path" in source:
            source["path"] = f"data/{name}"
    return public


def _describe(
    partial: Path, manifest: dict[str, Any], config: Config, parts: list[Part], terms: Terms, real: bool
) -> str:
    files = _digests(partial)
    content_digest = digest(files)
    provenance = {key: manifest[key] for key in PROVENANCE} | {"digest": manifest["digest"]}
    ancestry = {part.path: manifest["ancestry"][part.of_run] for part in parts}
    licences = {"licence": terms.licence, "source_licences": terms.sources}
    about = {"title": terms.title, "version": terms.version, **licences, "run_digest": manifest["digest"]}
    same = {key: manifest[key] for key in PROVENANCE} | {"config": _public(config), "ancestry": ancestry}
    # The keys match a run's manifest, so that calvaria verify can read it.
    write_json(partial / "manifest.json", {"digest": content_digest, **about, **same, "files": files})
    audits = {family: read_json(partial / "audit" / f"{family}.json") for family in families(config, real)}
    data = Published(
        config.name,
        config.grid,
        terms,
        parts,
        audits,
        content_digest,
        provenance,
        datetime.now(UTC).date(),
        _sizes(partial),
    )
    phantoms = any(source.synthetic for source in config.ingest.sources.values())
    write_atomically(partial / "README.md", card(data, _public(config), phantoms))
    write_json(partial / "croissant.json", croissant(data, _digests(partial)))
    write_json(partial / "ro-crate-metadata.json", crate(data))
    lines = [f"{value}  {name}\n" for name, value in sorted(_digests(partial).items())]
    write_atomically(partial / "SHA256SUMS", "".join(lines))
    return content_digest


def _digests(folder: Path) -> dict[str, str]:
    return {name: sha256(folder / name) for name in _sizes(folder)}


def _sizes(folder: Path) -> dict[str, int]:
    """Return the size in bytes of every file below a folder, by its relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
