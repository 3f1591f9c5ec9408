"""Where everything of a run lies; the rules and the commands both take their paths from here.

A name may be a Snakemake wildcard such as ``"{family}"``.
"""

from dataclasses import dataclass
from pathlib import Path

from calvaria.storage.store import Store


@dataclass(frozen=True)
class Run:
    """The directory of one run, ``results/NAME``."""

    root: Path

    @property
    def config(self) -> Path:
        """The complete config, every default written out."""
        return self.root / "config.yaml"

    @property
    def ingest(self) -> Store:
        """The real skulls on the canonical grid."""
        return Store(self.root / "ingest.zarr")

    def vaults(self, shard: int | str) -> Path:
        """Pictures of the vaults of one shard of skulls, at the resolution of their scans."""
        return self.root / "ingest" / f"vaults-{shard}.safetensors"

    def sheet(self, shard: int | str) -> Path:
        """The contact sheet of one shard of skulls: each with its verdict."""
        return self.root / "ingest" / f"sheet-{shard}.png"

    @property
    def people(self) -> Path:
        """Who is who, and how sure that is."""
        return self.root / "people.json"

    @property
    def split(self) -> Path:
        """Which skull belongs to which cohort."""
        return self.root / "split.json"

    def fit(self, family: str) -> Path:
        """The directory of a fitted family: ``fit.json``, ``model.safetensors``."""
        return self.root / "fit" / family

    def template(self, family: str) -> Path:
        """The skull in the middle of the population, of a registration family of mode template."""
        return self.fit(family) / "template.safetensors"

    def fields(self, family: str, batch: int | str) -> Path:
        """The deformation fields of one batch of registrations."""
        return self.fit(family) / f"fields-{batch}.safetensors"

    def registrations(self, family: str, batch: int | str) -> Path:
        """What was measured of one batch of registrations."""
        return self.fit(family) / f"registrations-{batch}.jsonl"

    def scratch(self, family: str) -> Path:
        """Registrations that are done, while their batch is not."""
        return self.fit(family) / "scratch"

    def sample(self, family: str) -> Store:
        """Skulls as they were drawn from a family."""
        return Store(self.root / "sample" / f"{family}.zarr")

    @property
    def limits(self) -> Path:
        """The accepted range of every measure of a skull."""
        return self.root / "screen" / "limits.json"

    def screen(self, family: str) -> Store:
        """Plausible skulls of a family; rejected ones are redrawn."""
        return Store(self.root / "screen" / f"{family}.zarr")

    def audit(self, family: str) -> Path:
        """How real a family's skulls are, how varied, and whether they are copies."""
        return self.root / "audit" / f"{family}.json"

    def inject(self, cohort: str) -> Store:
        """Cases: skulls of a family, or of a held-out cohort, with defects."""
        return Store(self.root / "inject" / f"{cohort}.zarr")

    def train(self, arm: str, seed: int | str) -> Path:
        """The directory of one of an arm's networks: ``train.json``, ``model.safetensors``."""
        return self.root / "train" / arm / str(seed)

    @property
    def refine(self) -> Path:
        """The directory of the network of the fine grid: ``refine.json``, ``model.safetensors``."""
        return self.root / "refine"

    def evaluate(self, arm: str) -> Store:
        """The test cases with the implants that an arm's network predicted, and their scores."""
        return Store(self.root / "evaluate" / f"{arm}.zarr")

    @property
    def manifest(self) -> Path:
        """SHA-256 of every file that matters, and one digest of all."""
        return self.root / "manifest.json"

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.root / "report.html"

    def log(self, job: str) -> Path:
        """What a job printed."""
        return self.root / "logs" / f"{job}.log"

    def benchmark(self, job: str) -> Path:
        """Time and memory of a job, as Snakemake measured them."""
        return self.root / "benchmarks" / f"{job}.tsv"
