"""refine: a network learns to draw implants on a finer grid, around a defect."""

from calvaria.config import Config
from calvaria.errors import CalvariaError
from calvaria.storage.paths import Run
from calvaria.storage.store import write_json
from calvaria.storage.tensors import write_tensors


def refine(run: Run, config: Config) -> None:
    """Writes ``refine``: ``model.safetensors``, ``refine.json``, ``steps.jsonl``.

    Raises:
        CalvariaError: if the config does not ask for it.
    """
    from calvaria.reconstruction.fine.training import place_of, train_fine
    from calvaria.training.device import prepare_device
    from calvaria.training.loop import remove_checkpoint
    from calvaria.training.workers import is_main, launched

    if config.refine is None:
        raise CalvariaError("refine: the config has no section of that name; add one, see docs/config.md")
    if launched(config):
        return
    weights, record = train_fine(run, config, prepare_device(config))
    if not is_main():
        return
    write_tensors(run.refine / "model.safetensors", weights)
    write_json(run.refine / "refine.json", {"steps": config.refine.optimiser.steps, **record})
    remove_checkpoint(place_of(run, config))
