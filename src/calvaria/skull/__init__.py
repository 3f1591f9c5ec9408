"""Analysis of a skull: pose, measures and quality.

==========  ==========================================================
examine     pose, resampling and quality of one scan
pose        rotation and size of a head in its scan
template    the mean skull to which poses are fitted
vault       the ellipsoid of the vault, and directions on it
vault_map   radii of the vault by direction, at the scan's resolution
quality     faults and doubts of a scan
measures    volume, extent, thickness and holes on the canonical grid
screening   whether a synthetic skull is plausible, or a copy
matching    whether two scans show one person
==========  ==========================================================
"""

from collections.abc import Mapping
from typing import Any

ACCEPTED = "ok"  # verdict of a skull without faults or doubts
DOUBTFUL = "doubtful"  # verdict of a skull with doubts but no fault


def is_accepted(row: Mapping[str, Any]) -> bool:
    """Return whether the skull of an ingest row is used: it has no doubts or is accepted by name."""
    return row["verdict"] == ACCEPTED or "accepted_by" in row
