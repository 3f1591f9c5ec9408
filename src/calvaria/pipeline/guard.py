"""Refuses to start in the directory of another run, whose results would be overwritten one after the other.

A run's config may be edited and run again: what depends on the edit is recomputed, the rest is kept. With
another seed, grid or source nothing can be kept. So from the first fit on these make a run this run.
"""

from typing import Any

from calvaria.config import Config, load
from calvaria.errors import ConfigError, StoreError
from calvaria.storage.paths import Run


def refuse_another_run(run: Run, config: Config) -> None:
    """Look at the directory of a run before anything is written there.

    Raises:
        StoreError: if it holds something, but no config that can be read; or a fit of another seed, grid or
            sources.
    """
    if not run.root.is_dir() or not any(run.root.iterdir()):
        return
    remedy = (
        f"choose another name in the config, or move or delete {run.root}; or, if these are results of this "
        f"run, copy the config to {run.config}"
    )
    if not run.config.is_file():
        raise StoreError(f"{run.root}: has files but no config.yaml, so it is no run of calvaria; {remedy}")
    try:
        there = load(run.config)
    except ConfigError as error:
        raise StoreError(f"{run.root}: has a config that cannot be read; {remedy}\n{error}") from None
    if not (run.root / "fit").is_dir():  # as long as sources are looked at, they may be changed at will
        return
    mine, theirs = _essence(config), _essence(there)
    differing = [
        f"  {key}: {theirs.get(key, 'not there')} there, {mine.get(key, 'not there')} in the config"
        for key in dict.fromkeys([*theirs, *mine])
        if theirs.get(key) != mine.get(key)
    ]
    if differing:
        raise StoreError(f"{run.root}: holds another run; {remedy}\n" + "\n".join(differing))


def _essence(config: Config) -> dict[str, Any]:
    """What every result of a run depends on, by key."""
    c = config.model_dump(mode="json")
    sources = {f"ingest.sources.{name}": source for name, source in c["ingest"]["sources"].items()}
    return {"seed": c["seed"], "grid": c["grid"], **sources}
