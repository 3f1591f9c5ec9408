"""Write the manifest and the report of a finished run.

Example: calvaria report --run results/demo
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calvaria.pipeline import costs
from calvaria.pipeline.stage import Stage

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.storage.paths import Run


def report(run: Run, config: Config) -> None:
    """Write ``manifest.json`` and ``report.html``."""
    from calvaria.pipeline.manifest import write_manifest
    from calvaria.report.page import write_report
    from calvaria.stages import STAGES
    from calvaria.utils.progress import Progress

    progress = Progress("report", 2, "files")
    write_manifest(STAGES, run, config)
    progress.advance(run.manifest.name)
    write_report(run, config, [stage.name for stage in STAGES])
    progress.advance(run.report.name)


STAGE = Stage(
    name="report",
    help=__doc__,
    run=report,
    outputs=lambda run, *_: (run.report, run.manifest),
    reads=lambda config, *_: config.model_dump(mode="json"),
    resources=("report/templates", "report/vendor"),
    cost=costs.report,
    is_data=False,
)
