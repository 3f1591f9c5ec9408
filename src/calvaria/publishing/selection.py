"""Which stores of a run are published."""

from dataclasses import dataclass

from calvaria.config import HELD_OUT, Config
from calvaria.errors import CalvariaError
from calvaria.publishing.terms import file_sources
from calvaria.storage.paths import Run
from calvaria.storage.store import Store, read_json


@dataclass(frozen=True)
class Part:
    """One store that is published."""

    name: str  # its path in the directory without .zarr: cases/NAME or skulls/NAME
    source: Store
    count: int
    what: str  # a sentence on what its volumes are

    @property
    def path(self) -> str:
        """Its directory."""
        return f"{self.name}.zarr"

    @property
    def of_run(self) -> str:
        """Where the run has it, relative to the run."""
        return "/".join(self.source.path.parts[-2:])

    @property
    def cases(self) -> bool:
        """Whether its volumes have implants."""
        return self.name.startswith("cases/")


def families(config: Config, real: bool) -> list[str]:
    """The families that are published: those of kind ``real`` only on demand, or if they are phantoms."""
    allowed = real or not file_sources(config)
    return [name for name, family in config.fit.items() if allowed or not family.is_real]


def select(run: Run, config: Config, real: bool) -> list[Part]:
    """Skulls and cases of the families, and on demand (or of phantoms) those of real and held-out people.

    Never the scans as they were ingested, the deformations between them, or weights: with these and one skull
    a real person's could be had again, and networks may hold what they were trained on.

    Raises:
        CalvariaError: if nothing is left.
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
            "all families of this run are of kind real, so nothing would be published; --real publishes "
            "real skulls too, if their licence allows it"
        )
    return parts


def _part(name: str, source: Store, what: str) -> Part:
    return Part(name, source, len(source), what)


def shard_size(store: Store) -> int:
    """Volumes per full shard of a run's store."""
    return int(
        read_json(store.path / "labels" / "zarr.json")["chunk_grid"]["configuration"]["chunk_shape"][0]
    )
