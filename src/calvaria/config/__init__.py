"""The configuration of a run: frozen models, one section per stage, unknown keys refused.

A section is named after the stage that it configures. Names of lengths include their unit (``_mm``), and
fractions lie in [0, 1]. The JSON schema and the reference page are generated from these models.
"""

from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from calvaria.config.grid import Grid
from calvaria.config.ingest import Ingest
from calvaria.config.inject import Inject
from calvaria.config.people import People
from calvaria.config.sample import Sample
from calvaria.config.screen import Screen
from calvaria.config.split import Split
from calvaria.config.train import LEVELS, Arm, Audit, Evaluate, Geometric, Report, Train
from calvaria.errors import ConfigError
from calvaria.plugins.checks import check_batches, check_halvings
from calvaria.plugins.family import Family
from calvaria.plugins.registry import kinds
from calvaria.plugins.section import Name, Normal, Optimiser, Section

__all__ = [
    "HELD_OUT",
    "LEVELS",
    "Arm",
    "Audit",
    "Config",
    "Evaluate",
    "Geometric",
    "Grid",
    "Ingest",
    "Inject",
    "Name",
    "Normal",
    "Optimiser",
    "People",
    "Report",
    "Sample",
    "Screen",
    "Section",
    "Split",
    "Train",
    "dump",
    "load",
    "parse",
]

if TYPE_CHECKING:
    AnyFamily = Family
else:
    AnyFamily = Annotated[reduce(or_, kinds("families").values()), Field(discriminator="kind")]

HELD_OUT = ("validation", "test")  # cohorts of real skulls that no family or arm is trained on


class Config(Section):
    """A whole run, from skulls to report."""

    name: Name
    """Name of the run; its results lie in results/NAME, those of a fold in results/NAME-FOLD."""
    seed: int = Field(0, ge=0)
    """Root of every random choice."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of networks; auto uses a GPU if there is one."""
    threads: int = Field(1, ge=1)
    """CPU threads per job; affects the result, so it does not follow the machine."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of matrix products of networks; auto uses bfloat16 where a timed probe finds it faster."""
    processes: int = Field(1, ge=1)
    """Processes that share each training, one per GPU if there are GPUs; affects the result."""
    loaders: int = Field(1, ge=0)
    """Threads per training that prefetch batches; does not affect the result. Use more with a GPU."""
    checkpoint_s: float = Field(60.0, ge=0)
    """Seconds between two checkpoints of a training; does not affect the result."""
    tensorboard: bool = False
    """Whether trainings also write logs for TensorBoard, which must be installed."""
    grid: Grid = Grid()
    """The canonical grid."""
    ingest: Ingest
    """Reading and checks of real skulls."""
    people: People = People()
    """Identification of repeat scans."""
    split: Split = Split()
    """Split of people into training, validation and test."""
    fit: dict[Name, AnyFamily] = Field(min_length=1)
    """The augmentation families by name."""
    sample: Sample = Sample()
    """Samples of the families."""
    screen: Screen = Screen()
    """Limits of plausible samples."""
    inject: Inject
    """Recipes of the defects, and the number of cases."""
    train: Train
    """Training the reconstruction network."""
    audit: Audit = Audit()
    """Audit of the families' skulls."""
    evaluate: Evaluate = Evaluate()
    """Scoring on held-out people."""
    report: Report = Report()
    """The report."""

    @model_validator(mode="after")
    def _families_fit(self) -> Self:
        grid = self.grid.voxels()
        for name, family in self.fit.items():
            if name in HELD_OUT:
                raise ValueError(f"fit.{name}: '{name}' is the name of a held-out cohort; choose another")
            family.check(name, grid, self.processes, self.fit)
        return self

    @model_validator(mode="after")
    def _networks_fit_the_grid(self) -> Self:
        check_halvings("train", self.grid.voxels(), self.train.patch, len(self.train.channels))
        most = max(0, len(self.train.channels) - 2)
        if self.train.deep_supervision > most:
            raise ValueError(
                f"train.deep_supervision: expected at most {most}, the levels between finest and coarsest of "
                f"train.channels, got {self.train.deep_supervision}"
            )
        return self

    @model_validator(mode="after")
    def _batches_are_shared_out(self) -> Self:
        check_batches("train", self.train.optimiser, self.processes)
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for name in self.report.baselines:
            if name not in self.train.arms:
                raise ValueError(
                    f"report.baselines: '{name}' is not an arm, there are {', '.join(self.train.arms)}"
                )
        for name, arm in self.train.arms.items():
            for family_name in arm.families:
                if family_name not in self.fit:
                    raise ValueError(
                        f"train.arms.{name}.families: '{family_name}' is not a family of fit, "
                        f"which has {', '.join(self.fit)}"
                    )
        return self

    @property
    def run_name(self) -> str:
        """Return the name of the run's directory; that of a fold has its number."""
        return self.name if self.split.folds is None else f"{self.name}-{self.split.fold}"

    def below(self, name: str) -> str | None:
        """Return the name of the family that a family depends on."""
        return self.fit[name].depends_on

    def batches(self, name: str, skulls: int) -> int:
        """Return the number of jobs that share the registrations of a family; 0 for other families.

        Args:
            skulls: number of ingested skulls.
        """
        training = round(skulls * (1 - self.split.validation - self.split.test_share))
        return self.fit[name].registration_batches(max(2, training))


def parse(raw: Any, where: str) -> Config:
    """Validate a raw mapping; ``where`` names its origin in the error.

    Raises:
        ConfigError: naming every invalid key, its value and the expected values.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        faults = [_fault(item) for item in error.errors()]
        raise ConfigError(f"{where}: {len(faults)} wrong key(s)\n" + "\n".join(faults)) from None


def _fault(item: Any) -> str:
    """Format a validation error as one line: key, expectation, input."""
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"  {key}: unknown key; see docs/config.md for the known ones"
    expected = item["msg"].removeprefix("Value error, ")
    if item["type"] in ("missing", "value_error"):
        return f"  {key + ': ' if key else ''}{expected}"
    return f"  {key}: {expected}, got {item['input']!r}"


def load(path: Path) -> Config:
    """Read and validate a YAML file.

    Raises:
        ConfigError: if the file is missing, is not YAML, or has wrong keys.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    return parse(raw, str(path))


def dump(config: Config) -> str:
    """Return the complete config as YAML, every default written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
