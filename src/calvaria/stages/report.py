"""report: one HTML page for people and one manifest for machines."""

from calvaria.config import Config
from calvaria.pipeline.manifest import write_manifest
from calvaria.report.page import write_report
from calvaria.storage.paths import Run
from calvaria.utils.progress import Progress


def report(run: Run, config: Config) -> None:
    """Writes ``manifest.json`` and ``report.html``."""
    progress = Progress("report", 2, "files")
    write_manifest(run, config)
    progress.advance(run.manifest.name)
    write_report(run, config)
    progress.advance(run.report.name)
