"""train: one arm's reconstruction network learns from the arm's mixture of cases."""

from calvaria.config import Config
from calvaria.paths import Run
from calvaria.store import write_json, write_tensors


def train(run: Run, config: Config, arm: str) -> None:
    """Writes ``train/ARM``: ``model.safetensors``, ``train.json``, ``steps.jsonl``."""
    from calvaria.learning.device import prepare_device
    from calvaria.learning.training import forget
    from calvaria.learning.workers import is_main, launched
    from calvaria.reconstruction.training import place_of, train_arm

    if launched(config):
        return
    weights, record = train_arm(run, config, arm, prepare_device(config))
    if not is_main():
        return
    settings = config.train.arms[arm]
    write_tensors(run.train(arm) / "model.safetensors", weights)
    write_json(
        run.train(arm) / "train.json",
        {
            "arm": arm,
            "families": settings.families,
            "geometric": settings.geometric,
            "steps": config.train.optimiser.steps,
            **record,
        },
    )
    forget(place_of(run, config, arm))
