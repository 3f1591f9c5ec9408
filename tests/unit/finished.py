"""A finished run as described by its manifest, without data."""

from pathlib import Path
from typing import Any

import yaml

from calvaria.config import Config, dump, parse
from calvaria.pipeline.manifest import data_files, digest
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from calvaria.storage.store import write_atomically, write_json
from tests.conftest import ROOT

MADE_WITH: dict[str, Any] = {
    "code": {"version": "1", "commit": None, "source": "s", "modules": {"calvaria.stages.split": "a"}},
    "versions": {"numpy": "2.0"},
    "hardware": {"cpu": "one"},
    "precision": {"cpu": "float32"},
}
SKULLS = 8


def tiny() -> dict[str, Any]:
    """Return the smallest config that still has every stage: one family, one arm."""
    raw: dict[str, Any] = yaml.safe_load((ROOT / "tests" / "end_to_end" / "tiny.yaml").read_text())
    raw["train"]["arms"] = {"none": {"families": {"real": 1}}}
    return raw | {"fit": {"real": raw["fit"]["real"], "vae": raw["fit"]["vae"]}}


def finished(root: Path, raw: dict[str, Any], other: str = "", **made_with: Any) -> tuple[Run, Config]:
    """Write a run's config and manifest.

    Args:
        other: words; files whose name begins with one of them have different bytes.
        made_with: replacements of parts of ``code``, ``versions`` or ``hardware``.
    """
    run, config = Run(root), parse(raw, "config")
    write_atomically(run.config, dump(config))
    write_json(run.ingest.path / "labels" / "zarr.json", {"shape": [SKULLS, 1, 1, 1]})
    names = [path.as_posix() for path in data_files(STAGES, run, config)]
    files = {name: "b" if name.startswith(tuple(other.split())) else "a" for name in names}
    made = {part: known | made_with.get(part, {}) for part, known in MADE_WITH.items()}
    content = {"digest": digest(files), "seed": config.seed, "config": config.model_dump(mode="json")}
    write_json(run.manifest, {**content, **made, "ancestry": {}, "files": files})
    return run, config
