"""Protection of a run from being overwritten by another one.

The config of a run may be edited: jobs that depend on the edit run again, all other results are kept. A
change of seed, grid or sources would invalidate every result, so these are fixed from the first fit on.
"""

from typing import Any

from calvaria.config import Config, load
from calvaria.errors import ConfigError, StoreError
from calvaria.storage.paths import Run


def check_run_directory(run: Run, config: Config) -> None:
    """Fail if the directory of a run belongs to a different run.

    Raises:
        StoreError: if it has files but no readable config, or a fit with another seed, grid or sources.
    """
    if not run.root.is_dir() or not any(run.root.iterdir()):
        return
    remedy = (
        f"choose another name in the config, or move or delete {run.root}; or, if these are results of this "
        f"run, copy the config to {run.config}"
    )
    if not run.config.is_file():
        raise StoreError(
            f"{run.root}: has files but no config.yaml, so it is not a run of calvaria; {remedy}"
        )
    try:
        existing = load(run.config)
    except ConfigError as error:
        raise StoreError(f"{run.root}: has a config that cannot be read; {remedy}\n{error}") from None
    if not (run.root / "fit").is_dir():  # sources may still change
        return
    new, old = _essence(config), _essence(existing)
    differing = [
        f"  {key}: {old.get(key, 'missing')} there, {new.get(key, 'missing')} in the config"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]
    if differing:
        raise StoreError(f"{run.root}: holds another run; {remedy}\n" + "\n".join(differing))


def _essence(config: Config) -> dict[str, Any]:
    """Return the config values that every result of a run depends on, by key."""
    c = config.model_dump(mode="json")
    sources = {f"ingest.sources.{name}": source for name, source in c["ingest"]["sources"].items()}
    return {"seed": c["seed"], "grid": c["grid"], **sources}
