"""Choose the precision of matrix products, from a timed probe of this machine.

Example: calvaria precision --run results/demo
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calvaria.pipeline import reads
from calvaria.pipeline.stage import Stage

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.storage.paths import Run


def precision(run: Run, config: Config) -> None:
    """Write ``precision.json``: ``float32`` or ``bfloat16`` by type of device."""
    from calvaria.storage.store import write_json
    from calvaria.training.precision import choose

    write_json(run.precision, choose(config))


STAGE = Stage(
    name="precision",
    help=__doc__,
    run=precision,
    outputs=lambda run, *_: (run.precision,),
    reads=lambda config, *_: reads.section(config, "device", "threads", "precision"),
)
