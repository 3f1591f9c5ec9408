"""Train the network that draws implants on the finer grid.

Example: calvaria refine --run results/demo
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calvaria.errors import CalvariaError
from calvaria.pipeline import costs, reads, roots
from calvaria.pipeline.stage import Stage, weight_files

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.storage.paths import Run


def refine(run: Run, config: Config) -> None:
    """Write ``refine``: ``model.safetensors``, ``refine.json``, ``steps.jsonl``.

    Raises:
        CalvariaError: if the config has no section ``refine``.
    """
    from calvaria.reconstruction.fine.training import train_fine, training_job
    from calvaria.storage.store import write_json
    from calvaria.storage.tensors import write_tensors
    from calvaria.training.device import prepare_device
    from calvaria.training.loop import remove_checkpoint
    from calvaria.training.precision import with_precision
    from calvaria.training.workers import is_main, launched

    settings = config.refine
    if settings is None:
        raise CalvariaError("refine: missing in the config; add this section, see docs/config.md")
    if launched(config):
        return
    config = with_precision(run, config)
    weights, record = train_fine(run, config, prepare_device(config))
    if not is_main():
        return
    write_tensors(run.refine / "model.safetensors", weights)
    write_json(run.refine / "refine.json", {"steps": settings.optimiser.steps, **record})
    remove_checkpoint(training_job(run, config))


STAGE = Stage(
    name="refine",
    help=__doc__,
    run=refine,
    outputs=lambda run, *_: weight_files(run.refine, "refine.json"),
    reads=reads.fine_network,
    names=lambda config: ("",) if config.refine else (),
    roots=roots.sources_and_recipes,
    cost=costs.refine,
)
