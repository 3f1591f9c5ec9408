"""Select the stores of a run that are published."""

from dataclasses import dataclass
from typing import Any

from calvaria.config import HELD_OUT, Config
from calvaria.errors import CalvariaError
from calvaria.publishing.terms import file_sources
from calvaria.storage.paths import Run
from calvaria.storage.rows import InjectRow, ScreenRow
from calvaria.storage.store import Store, read_json


@dataclass(frozen=True)
class Part:
    """A published store."""

    name: str  # path without .zarr: cases/NAME or skulls/NAME
    source: Store[InjectRow] | Store[ScreenRow]
    count: int
    what: str  # a sentence that describes its volumes

    @property
    def path(self) -> str:
        """Path of the store in the data set."""
        return f"{self.name}.zarr"

    @property
    def of_run(self) -> str:
        """Path of the store in the run, relative to the run's directory."""
        return "/".join(self.source.path.parts[-2:])

    @property
    def cases(self) -> bool:
        """Whether its volumes have implants."""
        return self.name.startswith("cases/")


def families(config: Config, real: bool) -> list[str]:
    """Return the published families; those of kind ``real`` only on request or if they are phantoms."""
    allowed = real or not file_sources(config)
    return [name for name, family in config.fit.items() if allowed or not family.is_real]


def select(run: Run, config: Config, real: bool) -> list[Part]:
    """Return the stores of all published families and, on request or for phantoms, of held-out people.

    Ingested scans, deformations and weights are never published: a deformation applied to one skull yields
    another real skull, and networks may have memorised their training data.

    Raises:
        CalvariaError: if there is nothing to publish.
    """
    parts = []
    for name in families(config, real):
        family = config.fit[name]
        about = "real skulls" if family.is_real else f"synthetic skulls of family {name} (kind {family.kind})"
        if not file_sources(config):
            about = "phantoms, procedural skulls" if family.is_real else about
        parts.append(_part(f"cases/{name}", run.inject(name), f"Synthetic defects in {about}."))
        parts.append(_part(f"skulls/{name}", run.screen(name), f"{about[0].upper()}{about[1:]}, complete."))
    if real or not file_sources(config):
        parts += [
            _part(f"cases/{name}", run.inject(name), f"Cases of the people held out for {name}.")
            for name in HELD_OUT
        ]
    if not parts:
        raise CalvariaError(
            "all families of this run are of kind real, so nothing would be published; pass --real to "
            "publish real skulls if their licence allows it"
        )
    return parts


def _part(name: str, source: Store[InjectRow] | Store[ScreenRow], what: str) -> Part:
    return Part(name, source, len(source), what)


def shard_size(store: Store[Any]) -> int:
    """Return the number of volumes per full shard of a run's store."""
    return int(
        read_json(store.path / "labels" / "zarr.json")["chunk_grid"]["configuration"]["chunk_shape"][0]
    )
