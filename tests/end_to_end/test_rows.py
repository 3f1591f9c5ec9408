"""The tables of a run have the declared columns, of the declared types, and no others."""

import pytest

from calvaria.storage.rows import TABLES
from calvaria.storage.store import read_rows
from tests.tables import mismatches

PLACEHOLDERS = ("SHARD", "FAMILY", "COHORT", "ARM", "BATCH")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_rows_match_their_declaration(reference, table):
    pattern = table.path
    for name in PLACEHOLDERS:
        pattern = pattern.replace(name, "*")
    paths = sorted(reference.glob(pattern))
    assert paths
    for path in paths:
        for row in read_rows(path):
            assert list(mismatches(row, table.row)) == [], path
