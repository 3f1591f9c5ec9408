"""Analysis of a skull: pose, measures and quality.

==========  ==========================================================
examine     pose, resampling and quality of one scan
pose        rotation and size of a head in its scan
template    the mean skull that a pose is fitted to
vault       the ellipsoid of the vault, and directions on it
vault_map   radii of the vault at the scan's own resolution
quality     faults and doubts of a scan
measures    volume, lengths and radii of a skull on the canonical grid
screening   whether a synthetic skull is plausible, or a copy
matching    whether two scans are of one person
==========  ==========================================================
"""

from collections.abc import Mapping
from typing import Any

ACCEPTED = "ok"  # the verdict of a skull without fault or doubt
DOUBTFUL = "doubtful"  # the verdict of a skull without fault


def is_accepted(row: Mapping[str, Any]) -> bool:
    """Return whether the skull of an ingest row is used: without doubts, or accepted by name."""
    return row["verdict"] == ACCEPTED or "accepted_by" in row
