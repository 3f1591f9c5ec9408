"""The declared columns are complete, and match the objects from which rows are built."""

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from calvaria.families.registration.gates import Measured
from calvaria.metrics.comparison import single
from calvaria.metrics.scores import Scores
from calvaria.plugins.family import Draw, Drawn
from calvaria.skull.measures import Measures
from calvaria.skull.quality import Finding
from calvaria.skull.screening import Nearest
from calvaria.sources import Entry
from calvaria.stages.ingest import _add_geometry, _row
from calvaria.stages.sample import ancestry
from calvaria.storage import rows
from calvaria.storage.rows import TABLES, IngestColumns, SampleColumns, columns
from tests.tables import mismatches


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_and_table_has_a_description(table):
    assert table.description.endswith(".")
    for one in columns(table.row):
        assert one.column.meaning.endswith("."), one.name


NESTED = (rows.Scan, rows.TemplateFit, rows.Rejection, rows.Measures, rows.Nearest, rows.ScoreValues)


@pytest.mark.parametrize(
    "declared", [*(table.row for table in TABLES), *NESTED], ids=lambda row: row.__name__
)
def test_units_match_the_names_of_columns(declared):
    units = {"mm": "mm", "ml": "ml", "mm2": "mm²"}
    for one in columns(declared):
        suffix = one.name.rsplit("_", 1)[-1]
        if suffix in units:
            assert one.column.unit == units[suffix], one.name


@pytest.mark.parametrize(
    ("declared", "source"),
    [
        (rows.ScoreValues, Scores),
        (rows.Measures, Measures),
        (rows.Nearest, Nearest),
        (rows.WarpFigures, Measured),
    ],
    ids=lambda value: value.__name__,
)
def test_nested_columns_are_the_fields_of_the_dataclass(declared, source):
    assert [one.name for one in columns(declared)] == [field.name for field in fields(source)]


POSE = SimpleNamespace(residual_mm=1.0, size=np.ones(3))
SCAN: Any = SimpleNamespace(labels=np.zeros((2, 3, 4), np.uint8), affine=np.eye(4))
DOUBT = Finding("doubt", "size", "unusual")


@pytest.mark.parametrize(
    ("fault", "doubts", "pose"),
    [
        (None, (), POSE),
        (None, (DOUBT,), POSE),
        (Finding("fault", "no head", "no bone"), (), None),
        (Finding("fault", "unreadable", "no such file"), (), None),
    ],
)
def test_ingest_writes_what_is_declared(fault, doubts, pose):
    row = _row(Entry("a/1", "a/1"), fault, doubts, ["a/*"])
    if fault is None or fault.verdict != "unreadable":
        examined: Any = SimpleNamespace(pose=pose, to_box=pose and np.eye(4))
        _add_geometry(row, SCAN, examined)
    assert list(mismatches(dict(row), IngestColumns)) == []
    assert ("accepted_by" in row) == bool(doubts)


def test_sample_writes_what_is_declared():
    drawn = Drawn(np.zeros((2, 2, 2), np.uint8), ("a/1",), {"fraction": 0.5}, "warp folded")
    assert list(mismatches(dict(ancestry(Draw(3, 1), "pairs", drawn)), SampleColumns)) == []


def test_a_wrong_row_is_noticed():
    row = {"id": 1, "verdict": "ok", "reason": None, "scan": {"shape": [1, 2, 3.5], "affine": []}, "extra": 0}
    assert {one.split(":")[0] for one in mismatches(row, IngestColumns)} == {
        "id",
        "person",
        "scan.shape[2]",
        "extra",
    }


def test_single_leaves_the_ensemble_out():
    predicted: list[Any] = [{"seed": 0}, {"seed": 1}, {"seed": rows.ENSEMBLE}]
    assert single(predicted) == predicted[:2]
