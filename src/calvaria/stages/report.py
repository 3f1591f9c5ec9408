"""report: one HTML page for people and one manifest for machines."""

from calvaria.config import Config
from calvaria.manifest import write_manifest
from calvaria.paths import Run
from calvaria.report.page import write_report


def report(run: Run, config: Config) -> None:
    """Writes ``manifest.json`` and ``report.html``."""
    write_manifest(run, config)
    write_report(run, config)
