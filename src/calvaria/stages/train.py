"""Train a reconstruction network of an arm, and fit its prior of the vault's surfaces.

Example: calvaria train --run results/demo --arm ldm --seed 0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calvaria.pipeline import costs, reads, roots
from calvaria.pipeline.stage import ARM, SEED, Stage, weight_files

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.storage.paths import Run


def train(run: Run, config: Config, arm: str, seed: int) -> None:
    """Write ``train/ARM/SEED``: ``model.safetensors``, ``train.json``, ``steps.jsonl``."""
    from calvaria.reconstruction.coarse.training import Member, train_member
    from calvaria.reconstruction.surfaces.known import SURFACES, known_surfaces
    from calvaria.storage.store import write_json
    from calvaria.storage.tensors import write_tensors
    from calvaria.training.device import prepare_device
    from calvaria.training.loop import remove_checkpoint
    from calvaria.training.precision import with_precision
    from calvaria.training.workers import is_main, launched

    if launched(config):
        return
    member = Member(run, with_precision(run, config), arm, seed)
    weights, record = train_member(member, prepare_device(config))
    if not is_main():
        return
    if config.train.prior:
        weights[SURFACES] = known_surfaces(run, config, arm, member.rows)
    about = {"arm": arm, "seed": seed, "families": member.settings.families}
    write_tensors(run.train(arm, seed) / "model.safetensors", weights)
    write_json(
        run.train(arm, seed) / "train.json", {**about, "steps": config.train.optimiser.steps, **record}
    )
    remove_checkpoint(member.job)


STAGE = Stage(
    name="train",
    help=__doc__,
    run=train,
    outputs=lambda run, arm, seed: weight_files(run.train(arm, seed), "train.json"),
    reads=reads.arm,
    key=ARM,
    number=SEED,
    count=lambda config, *_: config.train.seeds,
    roots=roots.fresh_recipes,
    cost=costs.train,
)
