"""The table of the cases of a command: one row per scan, CSV."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from calvaria.storage.store import write_atomically

TABLE = "cases.csv"
DONE, FAILED_CHECK, NO_DEFECT, ERROR, PENDING = "done", "failed check", "no defect", "error", "pending"
# Those of `calvaria reconstruct` for the scan alone, the most serious first.
EXIT_CODES = {ERROR: 1, FAILED_CHECK: 4, NO_DEFECT: 3, DONE: 0}
COLUMNS = (
    "case",
    "input",
    "status",
    "exit_code",
    "implant_ml",
    "mesh_ml",
    "hole_cm2",  # of the vault, before
    "open_cm2",  # and with the implant
    "thickness_mm",  # of 95 % of the surface at least
    "smallest_gap_mm",
    "overlap_ml",
    "insertion",  # share of the surface that keeps clear of bone
    "pieces",
    "watertight",
    "failed_checks",
    "warnings",
    "message",
    "seconds",
)
# Columns by check.
_FOUND = {
    "closes": "open_cm2",
    "thickness": "thickness_mm",
    "gap": "smallest_gap_mm",
    "overlap": "overlap_ml",
    "insertion": "insertion",
    "pieces": "pieces",
    "watertight": "watertight",
}

Row = dict[str, Any]


def row(case: str, scan: Path, status: str, message: str = "", seconds: float | None = None) -> Row:
    """Return the row of a case without an implant."""
    values = {"case": case, "input": str(scan), "status": status, "exit_code": EXIT_CODES.get(status)}
    return {**values, "message": message, "seconds": seconds}


def results(about: dict[str, Any]) -> Row:
    """Return the columns of an implant, from the content of its ``checks.json``."""
    checks = about["checks"]
    found = {column: checks[name]["found"] for name, column in _FOUND.items()}
    return {
        **{key: about[key] for key in ("implant_ml", "mesh_ml", "hole_cm2")},
        **{key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()},
        "failed_checks": "; ".join(name for name, one in checks.items() if not one["passed"]),
        "warnings": "; ".join(about["warnings"]),
    }


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Write all rows atomically.

    Raises:
        StoreError: if the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one in rows:
        values = {key: "" if value is None else value for key, value in one.items()}
        writer.writerow({**values, "message": " ".join(values["message"].split())})
    # Names of files need not be valid text.
    write_atomically(path, text.getvalue().encode(errors="surrogateescape"))


def exit_code(rows: Iterable[Row]) -> int:
    """Return the exit code of the most serious result: an error, a failed check, no defect, or success."""
    found = {one["exit_code"] for one in rows}
    return next((code for code in EXIT_CODES.values() if code in found), 0)
