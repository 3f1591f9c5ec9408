"""train: a reconstruction network learns from its arm's mixture of cases."""

from calvaria.config import Config
from calvaria.storage.paths import Run
from calvaria.storage.store import write_json
from calvaria.storage.tensors import write_tensors


def train(run: Run, config: Config, arm: str, seed: int) -> None:
    """Writes ``train/ARM/SEED``: ``model.safetensors``, ``train.json``, ``steps.jsonl``."""
    from calvaria.reconstruction.coarse.training import Member, train_member
    from calvaria.training.device import prepare_device
    from calvaria.training.loop import remove_checkpoint
    from calvaria.training.workers import is_main, launched

    if launched(config):
        return
    member = Member(run, config, arm, seed)
    weights, record = train_member(member, prepare_device(config))
    if not is_main():
        return
    about = {"arm": arm, "seed": seed, "families": member.settings.families}
    write_tensors(run.train(arm, seed) / "model.safetensors", weights)
    write_json(
        run.train(arm, seed) / "train.json", {**about, "steps": config.train.optimiser.steps, **record}
    )
    remove_checkpoint(member.place)
