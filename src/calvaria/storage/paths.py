"""The layout of a run's directory, used by the workflow's rules and the commands.

A name may be a Snakemake wildcard such as ``"{family}"``.
"""

from dataclasses import dataclass
from pathlib import Path

from calvaria.storage.rows import EvaluateRow, IngestRow, InjectRow, SampleRow, ScreenRow
from calvaria.storage.store import Store


@dataclass(frozen=True)
class Run:
    """The directory of one run, ``results/NAME``."""

    root: Path

    @property
    def config(self) -> Path:
        """The complete config with all defaults."""
        return self.root / "config.yaml"

    @property
    def ingest(self) -> Store[IngestRow]:
        """The real skulls on the canonical grid."""
        return Store(self.root / "ingest.zarr")

    def vaults(self, shard: int | str) -> Path:
        """Return the vault images of one shard of skulls, at the resolution of their scans."""
        return self.root / "ingest" / f"vaults-{shard}.safetensors"

    def occupancies(self, shard: int | str) -> Path:
        """Return the share of every voxel in bone, for one shard of skulls."""
        return self.root / "ingest" / f"occupancies-{shard}.safetensors"

    def sheet(self, shard: int | str) -> Path:
        """Return the contact sheet of one shard of skulls with their verdicts."""
        return self.root / "ingest" / f"sheet-{shard}.png"

    @property
    def people(self) -> Path:
        """The person of every skull, and the distances between the closest skulls."""
        return self.root / "people.json"

    @property
    def split(self) -> Path:
        """The members of every cohort."""
        return self.root / "split.json"

    @property
    def precision(self) -> Path:
        """The precision of matrix products, by type of device."""
        return self.root / "precision.json"

    def fit(self, family: str) -> Path:
        """Return the directory of a fitted family: ``fit.json``, ``model.safetensors``."""
        return self.root / "fit" / family

    def template(self, family: str) -> Path:
        """Return the mean skull of the population, for a registration family of mode template."""
        return self.fit(family) / "template.safetensors"

    def fields(self, family: str, batch: int | str) -> Path:
        """Return the deformation fields of one batch of registrations."""
        return self.fit(family) / f"fields-{batch}.safetensors"

    def registrations(self, family: str, batch: int | str) -> Path:
        """Return the table of one batch of registrations."""
        return self.fit(family) / f"registrations-{batch}.jsonl"

    def scratch(self, family: str) -> Path:
        """Return the directory of finished registrations of unfinished batches."""
        return self.fit(family) / "scratch"

    def sample(self, family: str) -> Store[SampleRow]:
        """Return the skulls drawn from a family, before screening."""
        return Store(self.root / "sample" / f"{family}.zarr")

    @property
    def limits(self) -> Path:
        """The accepted range of every measure of a skull."""
        return self.root / "screen" / "limits.json"

    def screen(self, family: str) -> Store[ScreenRow]:
        """Return the plausible skulls of a family; rejected ones are redrawn."""
        return Store(self.root / "screen" / f"{family}.zarr")

    def audit(self, family: str) -> Path:
        """Return the audit of a family's skulls: fidelity, diversity, memorisation and looks."""
        return self.root / "audit" / f"{family}.json"

    def inject(self, cohort: str) -> Store[InjectRow]:
        """Return the cases: skulls of a family or a held-out cohort, with defects."""
        return Store(self.root / "inject" / f"{cohort}.zarr")

    def train(self, arm: str, seed: int | str) -> Path:
        """Return the directory of one of an arm's networks: ``train.json``, ``model.safetensors``."""
        return self.root / "train" / arm / str(seed)

    def evaluate(self, arm: str) -> Store[EvaluateRow]:
        """Return the test cases with the implants predicted by an arm's networks, and their scores."""
        return Store(self.root / "evaluate" / f"{arm}.zarr")

    @property
    def manifest(self) -> Path:
        """SHA-256 of every data file, one digest of all, and the provenance of the run."""
        return self.root / "manifest.json"

    @property
    def report(self) -> Path:
        """The report."""
        return self.root / "report.html"

    def log(self, job: str) -> Path:
        """Return the log of a job."""
        return self.root / "logs" / f"{job}.log"

    def benchmark(self, job: str) -> Path:
        """Return the benchmark file of a job: time and memory, measured by Snakemake."""
        return self.root / "benchmarks" / f"{job}.tsv"
