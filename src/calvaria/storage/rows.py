"""The columns of the tables that a run writes, each declared once.

A row is one JSON object of a ``.jsonl`` file. The types below describe rows to mypy at no run-time cost;
docs/tables.md and the Croissant description of a published data set are generated from them.

Every row of a store extends `VolumeRow`, whose columns `calvaria.storage.store.write_shard` adds; the other
base class has the columns that a stage passes to ``write_shard``.
"""

from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NotRequired,
    TypedDict,
    get_args,
    get_origin,
    get_type_hints,
)


@dataclass(frozen=True)
class Column:
    """Meaning of a column, and the unit of its numbers."""

    meaning: str
    unit: str = ""


class VolumeRow(TypedDict):
    """A volume of a store."""

    index: Annotated[int, Column("Position of the volume in its store, from 0.")]
    sha256: Annotated[str, Column("SHA-256 of the label volume's bytes, (x, y, z) uint8 in C order.")]


# ingest


class Scan(TypedDict):
    """The grid of a scan; axes (i, j, k) in the storage order of its file."""

    shape: Annotated[list[int], Column("Size along each axis.", "voxels")]
    affine: Annotated[
        list[list[float]], Column("(4, 4) transform from voxel indices to the world, RAS+.", "mm")
    ]


class TemplateFit(TypedDict):
    """Fit of the mean skull, which defines the pose."""

    residual_mm: Annotated[float, Column("Mean distance from the bone surface to the template.", "mm")]
    size: Annotated[list[float], Column("Size of the head along x, y and z relative to the template.")]


class IngestColumns(TypedDict):
    """Columns that the stage ingest writes."""

    id: Annotated[str, Column("Identifier of the scan: SOURCE/NAME.")]
    person: Annotated[str, Column("Identifier of the person according to the source.")]
    verdict: Annotated[str, Column("Result of the quality checks: `ok`, `doubtful`, or the kind of error.")]
    reason: Annotated[str | None, Column("Explanation of the verdict; null if it is `ok`.")]
    accepted_by: NotRequired[
        Annotated[str, Column("Pattern of `ingest.accept` that admits this doubtful skull.")]
    ]
    scan: NotRequired[Annotated[Scan, Column("Grid of the scan; absent if it could not be read.")]]
    pose: NotRequired[
        Annotated[
            list[list[float]],
            Column("(4, 4) rigid transform from the scan's world to the canonical grid's.", "mm"),
        ]
    ]
    template: NotRequired[Annotated[TemplateFit, Column("Fit of the mean skull; present where `pose` is.")]]


class IngestRow(VolumeRow, IngestColumns):
    """A real skull on the canonical grid. The volume of an unreadable scan is empty."""


class CohortRow(VolumeRow):
    """A member of a cohort in ``split.json``; the person is that of ``people.json``."""

    id: str
    person: str


# sample


class SampleColumns(TypedDict):
    """Columns that the stage sample writes."""

    family: Annotated[str, Column("Name of the family.")]
    attempt: Annotated[int, Column("Number of the draw, from 0; part of its seed.")]
    parents: Annotated[list[str], Column("Identifiers of the real skulls that the volume descends from.")]
    parameters: Annotated[
        dict[str, Any], Column("What was drawn: depends on the kind of family; empty for most networks.")
    ]
    fault: Annotated[
        str | None, Column("Reason why the family itself rejects the draw; null if it does not.")
    ]


class SampleRow(VolumeRow, SampleColumns):
    """The first draw of a synthetic skull, before screening."""


# screen


class Rejection(TypedDict):
    """A rejected draw."""

    attempt: Annotated[int, Column("Number of the draw.")]
    reason: Annotated[str, Column("Reason of the rejection.")]


class Measures(TypedDict):
    """Measures of a complete skull."""

    volume_ml: Annotated[float, Column("Bone volume.", "ml")]
    width_mm: Annotated[float, Column("Extent of the vault from left to right.", "mm")]
    length_mm: Annotated[float, Column("Extent of the vault from back to front.", "mm")]
    height_mm: Annotated[float, Column("Extent of the skull from bottom to top.", "mm")]
    thickness_mm: Annotated[float, Column("Mean thickness of the vault along rays from its centre.", "mm")]
    hole_area_mm2: Annotated[float, Column("Area of the holes in the vault.", "mm²")]


class Nearest(TypedDict):
    """The training skull most similar to a volume."""

    id: Annotated[str, Column("Identifier of the training skull.")]
    dice: Annotated[float, Column("Dice coefficient of both, mirrored if that is higher.")]


class ScreenColumns(SampleColumns):
    """Columns that the stage screen writes: those of the accepted draw, and more."""

    rejections: Annotated[list[Rejection], Column("Draws rejected before this one.")]
    measures: Annotated[Measures, Column("Measures of the skull.")]
    nearest: Annotated[Nearest, Column("The training skull that is most similar.")]


class ScreenRow(VolumeRow, ScreenColumns):
    """A plausible synthetic skull: the first draw that passed the screen."""


# inject


class Origin(TypedDict):
    """Person of a case."""

    parents: Annotated[list[str], Column("Identifiers of the real skulls that the volume descends from.")]
    person: Annotated[str | None, Column("Person of a held-out skull; null for a synthetic skull.")]


class CaseSkull(Origin):
    """The complete skull of a case."""

    cohort: Annotated[str, Column("Name of the family, `validation` or `test`.")]
    skull: Annotated[
        int, Column("Index of the complete skull: in the family's screen store, or in the ingest store.")
    ]


class InjectColumns(CaseSkull):
    """Columns that the stage inject writes."""

    recipe: Annotated[str, Column("Name of the defect recipe; `own` if the scan came with the defect.")]
    defect: Annotated[
        dict[str, Any] | None,
        Column("Parameters from which the defect can be cut again; null if the recipe is `own`."),
    ]
    attempt: Annotated[int, Column("Number of the defect's draw, from 0; part of its seed.")]
    implant_ml: Annotated[float, Column("Volume of the implant.", "ml")]


class InjectRow(VolumeRow, InjectColumns):
    """A case: a skull with a defect, labelled as remaining bone and implant."""


# evaluate

ENSEMBLE: Final = "ensemble"
Network = int | Literal["ensemble"]  # number of an arm's network, or all networks together


class ScoreValues(TypedDict):
    """Scores of a predicted implant; docs/metrics.md defines them."""

    dsc: Annotated[float, Column("Dice coefficient of the implants.")]
    bdsc_10mm: Annotated[float, Column("Dice coefficient within 10 mm of the defective skull.")]
    bdsc_10vox: Annotated[float, Column("Dice coefficient within 10 voxels of the defective skull.")]
    hd95_mm: Annotated[
        float | None, Column("95th percentile of the distances between borders; null is infinity.", "mm")
    ]
    surface_dice_1mm: Annotated[float, Column("Share of border voxels within 1 mm of the other border.")]
    assd_mm: Annotated[float | None, Column("Mean of the distances between borders; null is infinity.", "mm")]
    rim_gap_mm: Annotated[
        float | None,
        Column(
            "95th percentile of the distances from the defect's rim to the implant; null is infinity.", "mm"
        ),
    ]


class CaseColumns(TypedDict):
    """The test case of a prediction."""

    case: Annotated[int, Column("Index of the case in the store `inject/test.zarr`.")]
    person: Annotated[str | None, Column("Person whose skull it is.")]
    recipe: Annotated[str, Column("Name of the defect recipe.")]


class ScoreColumns(ScoreValues):
    """Scores of a prediction on the scan's native grid, and below ``grid`` on the canonical one."""

    empty: Annotated[bool, Column("Whether the prediction is empty.")]
    grid: Annotated[ScoreValues, Column("Scores of the coarse prediction on the canonical grid.")]


class EvaluateColumns(CaseColumns, ScoreColumns):
    """Columns that the stage evaluate writes. Scores refer to the scan's native grid."""

    seed: Annotated[Network, Column("Number of the arm's network, from 0, or `ensemble`.")]


class EvaluateRow(VolumeRow, EvaluateColumns):
    """A test case with a predicted implant, and its scores on the scan's native grid."""


def is_ensemble(row: EvaluateRow) -> bool:
    """Return whether a prediction is that of an arm's ensemble instead of a single network."""
    return row["seed"] == ENSEMBLE


# registrations


class WarpFigures(TypedDict, total=False):
    """Figures of a warp that the gates check; absent if the registration failed."""

    similarity: Annotated[float, Column("Dice coefficient of the warped skull and the target.")]
    folded: Annotated[float, Column("Share of the field's voxels with a Jacobian determinant of 0 or less.")]
    least_jacobian: Annotated[float, Column("Least Jacobian determinant of the field.")]
    most_jacobian: Annotated[float, Column("Greatest Jacobian determinant of the field.")]
    distorted: Annotated[
        float, Column("Share of the warped bone that changed its volume more than eightfold.")
    ]
    volume_ratio: Annotated[float, Column("Bone volume of the warped skull relative to the moving skull.")]


class RegistrationRow(WarpFigures):
    """One direction of a registration."""

    number: Annotated[int, Column("Number of the registration; both directions share it.")]
    way: Annotated[Literal["there", "back"], Column("Direction: `there` is forward, `back` inverse.")]
    moving: Annotated[int, Column("Index of the moving skull among the training skulls; -1 is the template.")]
    target: Annotated[int, Column("Index of the fixed skull among the training skulls; -1 is the template.")]


class GatedRegistration(WarpFigures):
    """A registration as ``fit.json`` lists it: with skulls by identifier, and the result of the gates."""

    number: int
    way: Literal["there", "back"]
    moving: str
    target: str
    fault: str | None


@dataclass(frozen=True)
class Table:
    """A table of a run."""

    name: str  # of the stage that writes it, or of the file
    path: str  # relative to the run's directory
    row: type

    @property
    def description(self) -> str:
        """Content of one row."""
        return self.row.__doc__ or ""


TABLES = (
    Table("ingest", "ingest.zarr/rows/SHARD.jsonl", IngestRow),
    Table("sample", "sample/FAMILY.zarr/rows/SHARD.jsonl", SampleRow),
    Table("screen", "screen/FAMILY.zarr/rows/SHARD.jsonl", ScreenRow),
    Table("inject", "inject/COHORT.zarr/rows/SHARD.jsonl", InjectRow),
    Table("evaluate", "evaluate/ARM.zarr/rows/0.jsonl", EvaluateRow),
    Table("registrations", "fit/FAMILY/registrations-BATCH.jsonl", RegistrationRow),
)


@dataclass(frozen=True)
class Declared:
    """A declared column of a row type."""

    name: str
    type: Any  # annotation without metadata
    column: Column
    required: bool


def columns(row: type) -> list[Declared]:
    """Return the declared columns of a row type, those of base classes first."""
    return [_declared(row, name, hint) for name, hint in get_type_hints(row, include_extras=True).items()]


def _declared(row: type, name: str, hint: Any) -> Declared:
    annotated = get_args(hint)[0] if get_origin(hint) is NotRequired else hint
    type_, column = get_args(annotated)
    required: frozenset[str] = row.__required_keys__  # type: ignore[attr-defined]
    return Declared(name, type_, column, name in required)
