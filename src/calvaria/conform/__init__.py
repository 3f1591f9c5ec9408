"""From a scan to a checked skull on the canonical grid.

==========  ==========================================================
examine     all of it for one scan
pose        how the head lies in the scan
resample    onto the canonical grid, and back
vault       a picture of the vault at the scan's own resolution
quality     faults and doubts of a skull
matching    whether two skulls are of one person
==========  ==========================================================
"""

from collections.abc import Mapping
from typing import Any

ACCEPTED = "ok"  # the verdict of a skull without fault or doubt
DOUBTFUL = "doubtful"  # the verdict of a skull without fault


def is_accepted(row: Mapping[str, Any]) -> bool:
    """Whether the skull of a row of the ingest store is used: it has no doubts, or was accepted by name."""
    return row["verdict"] == ACCEPTED or "accepted_by" in row
