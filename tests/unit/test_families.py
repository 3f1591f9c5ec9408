"""What every family promises: draws depend on themselves alone, and what is fitted is what was trained."""

import shutil

import numpy as np
import pytest
import yaml

from calvaria.config import Config, parse
from calvaria.families import Draw, Task, draw_skulls, family_module, save_model
from calvaria.storage.cohorts import Population
from calvaria.storage.paths import Run
from calvaria.storage.store import write_shard
from tests.conftest import ROOT

FAMILIES = ("real", "registration", "template", "ssm", "vae", "vqvae", "wgan", "introvae", "ldm", "flow")


@pytest.fixture(scope="module")
def config() -> Config:
    raw = yaml.safe_load((ROOT / "tests" / "end_to_end" / "tiny.yaml").read_text())
    raw["fit"]["registration"]["iterations"] = [10, 5]
    for name in ("vae", "vqvae", "wgan", "introvae", "ldm", "flow"):
        raw["fit"][name]["optimiser"]["steps"] = 3
    return parse(raw, "tiny")


@pytest.fixture(scope="module")
def population(config) -> Population:
    grid = config.grid.voxels()
    x, y, z = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    masks = []
    for size in (0.9, 1.0, 1.05, 1.1):
        r = np.sqrt((x / 65) ** 2 + (y / 85) ** 2 + (z / 65) ** 2) / size
        masks.append(((r > 0.82) & (r < 1) & (z > -55)).astype(np.uint8))
    return Population(tuple("abcd"), np.stack(masks), np.stack(masks[1:3]))


@pytest.fixture(scope="module")
def run(config, population, tmp_path_factory) -> Run:
    """All families fitted, in the order of the config, so that each finds the one that it stands on."""
    run = Run(tmp_path_factory.mktemp("run"))
    ingested(run, population, config)
    for family in FAMILIES:
        task = Task(run, config, family)
        register_all(population, task)
        save_model(run.fit(family), family_module(task.settings.kind).fit(population, task))
    return run


def ingested(run: Run, population: Population, config: Config) -> None:
    """A run that has these skulls."""
    count = len(population)
    write_shard(run.ingest, 0, count, count, config.grid.voxels(), population.masks, [{}] * count)


def register_all(population: Population, task: Task) -> None:
    """What the jobs before ``fit`` do."""
    from calvaria.families import registration

    if getattr(task.settings, "mode", None) == "template":
        registration.build_template(population, task)
    for batch in range(task.config.batches(task.family, len(task.run.ingest))):
        registration.register(population, task, batch)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sample_depends_on_its_own_draw_alone(run, config, population, family):
    """Not on its place in a batch, nor on who else is drawn, nor on how many."""
    task = Task(run, config, family)
    draws = [Draw(0, 0), Draw(3, 1), Draw(1, 0)]
    together = draw_skulls(population, draws, task)
    for draw, one in zip(draws, together, strict=True):
        (alone,) = draw_skulls(population, [draw], task)
        assert np.array_equal(alone.skull, one.skull)
        assert alone.parents == one.parents
        assert alone.parameters == one.parameters


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_are_skull_masks_with_ancestors(run, config, population, family):
    (drawn,) = draw_skulls(population, [Draw(2, 0)], Task(run, config, family))
    assert drawn.skull.shape == config.grid.shape
    assert drawn.skull.dtype == np.uint8
    assert set(np.unique(drawn.skull)) == {0, 1}
    assert set(drawn.parents) <= set(population.ids)
    assert drawn.parents


@pytest.mark.parametrize("family", ["ssm", "vae", "vqvae", "wgan", "introvae", "ldm", "flow"])
def test_another_attempt_is_another_skull(run, config, population, family):
    first, second = draw_skulls(population, [Draw(0, 0), Draw(0, 1)], Task(run, config, family))
    assert not np.array_equal(first.skull, second.skull)


@pytest.mark.parametrize("family", FAMILIES)
def test_fitting_again_gives_the_same_bytes(run, config, population, family, tmp_path):
    task = Task(Run(tmp_path), config, family)
    ingested(task.run, population, config)
    if below := config.below(family):
        shutil.copytree(run.fit(below), task.run.fit(below))
    register_all(population, task)
    save_model(task.run.fit(family), family_module(task.settings.kind).fit(population, task))
    for name in ("fit.json", "model.safetensors"):
        assert (task.run.fit(family) / name).read_bytes() == (run.fit(family) / name).read_bytes()


def test_real_goes_round_everyone_before_anyone_comes_twice(run, config, population):
    drawn = draw_skulls(population, [Draw(i, 0) for i in range(8)], Task(run, config, "real"))
    names = [one.parents[0] for one in drawn]
    assert sorted(names[:4]) == sorted(names[4:]) == list("abcd")
