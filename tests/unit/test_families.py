"""Contract of every family: samples depend only on their draw, and the fitted model is the trained one."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import yaml

from calvaria.config import Config, parse
from calvaria.families.run_context import draw_skulls, fit_context, new_context, registration_context
from calvaria.plugins.family import Base, Context, Draw, Population, Registrations
from calvaria.storage.models import load_model, save_model
from calvaria.storage.paths import Run
from calvaria.storage.store import write_rows, write_shard
from calvaria.storage.tensors import write_tensors
from tests.conftest import ROOT
from tests.documents import install
from tests.unit.heads import shells

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
    masks = shells(config.grid.voxels(), (0.9, 1.0, 1.05, 1.1))
    return Population(tuple("abcd"), masks, masks[1:3])


@pytest.fixture(scope="module")
def run(config, population, tmp_path_factory) -> Run:
    """A run with all families fitted in the order of the config, so that base families come first."""
    run = Run(tmp_path_factory.mktemp("run"))
    ingested(run, population, config)
    for family in FAMILIES:
        fit(run, config, family, population)
    return run


def ingested(run: Run, population: Population, config: Config) -> None:
    """Write a run with these skulls."""
    count = len(population)
    write_shard(run.ingest, 0, count, count, config.grid.voxels(), population.masks, [{}] * count)


def fit(run: Run, config: Config, name: str, population: Population) -> None:
    """Fit a family, after its registrations."""
    family = config.fit[name]
    if family.builds_template:
        mask = family.build_template(population, new_context(run, config, name))
        write_tensors(run.template(name), {"mask": mask})
    batches = config.batches(name, len(run.ingest))
    for batch in range(batches):
        context = registration_context(run, config, name)
        tensors, rows = family.register(population, context, batch, batches)
        write_tensors(run.fields(name, batch), tensors)
        write_rows(run.registrations(name, batch), rows)
    context, _ = fit_context(run, config, name)
    save_model(run.fit(name), family.fit(population, context))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sample_depends_on_its_own_draw_alone(run, config, population, family):
    """A sample does not depend on its position in a batch, or on other samples and their number."""
    draws = [Draw(0, 0), Draw(3, 1), Draw(1, 0)]
    together = draw_skulls(run, config, family, population, draws)
    for draw, one in zip(draws, together, strict=True):
        (alone,) = draw_skulls(run, config, family, population, [draw])
        assert np.array_equal(alone.skull, one.skull)
        assert alone.parents == one.parents
        assert alone.parameters == one.parameters


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_are_skull_masks_with_ancestors(run, config, population, family):
    (drawn,) = draw_skulls(run, config, family, population, [Draw(2, 0)])
    assert drawn.skull.shape == config.grid.shape
    assert drawn.skull.dtype == np.uint8
    assert set(np.unique(drawn.skull)) == {0, 1}
    assert set(drawn.parents) <= set(population.ids)
    assert drawn.parents


@pytest.mark.parametrize("family", ["ssm", "vae", "vqvae", "wgan", "introvae", "ldm", "flow"])
def test_another_attempt_is_another_skull(run, config, population, family):
    first, second = draw_skulls(run, config, family, population, [Draw(0, 0), Draw(0, 1)])
    assert not np.array_equal(first.skull, second.skull)


@pytest.mark.parametrize("family", FAMILIES)
def test_fitting_again_gives_the_same_bytes(run, config, population, family, tmp_path):
    again = Run(tmp_path)
    ingested(again, population, config)
    if below := config.below(family):
        shutil.copytree(run.fit(below), again.fit(below))
    fit(again, config, family, population)
    for name in ("fit.json", "model.safetensors"):
        assert (again.fit(family) / name).read_bytes() == (run.fit(family) / name).read_bytes()


def test_real_goes_round_everyone_before_anyone_comes_twice(run, config, population):
    drawn = draw_skulls(run, config, "real", population, [Draw(i, 0) for i in range(8)])
    names = [one.parents[0] for one in drawn]
    assert sorted(names[:4]) == sorted(names[4:]) == list("abcd")


@pytest.mark.parametrize("family", ["real", "vae", "wgan"])
def test_a_family_is_called_with_arrays(run, config, population, family):
    """Without a run, model and samples are those of the run, and nothing is written."""
    settings = config.fit[family]
    context = Context(
        config.grid.voxels(), family, config.seed, compute=config, batch_size=config.sample.batch_size
    )
    model = settings.fit(population, context)
    saved = load_model(run.fit(family))
    assert model.tensors.keys() == saved.tensors.keys()
    assert all(np.array_equal(model.tensors[name], saved.tensors[name]) for name in model.tensors)
    (drawn,) = settings.sample(model, population, [Draw(2, 0)], context)
    (of_run,) = draw_skulls(run, config, family, population, [Draw(2, 0)])
    assert np.array_equal(drawn.skull, of_run.skull)


def test_a_family_on_another_is_called_with_arrays(run, config, population):
    """Registration and the statistical model of its fields work in memory."""
    grid, name = config.grid.voxels(), "template"
    below, settings = config.fit[name], config.fit["ssm"]
    context = Context(grid, name, config.seed)
    mask = below.build_template(population, context)
    fields, rows = below.register(population, replace(context, registered=Registrations(mask)), 0, 1)
    registered = Registrations(mask, rows, fields)
    base = Base(name, below, below.fit(population, replace(context, registered=registered)), registered)
    context = Context(grid, "ssm", config.seed, base=base)
    (drawn,) = settings.sample(settings.fit(population, context), population, [Draw(2, 0)], context)
    (of_run,) = draw_skulls(run, config, "ssm", population, [Draw(2, 0)])
    assert np.array_equal(drawn.skull, of_run.skull)


@pytest.mark.parametrize("family", ["registration", "ssm", "ldm"])
def test_a_family_names_what_it_is_not_given(config, population, family):
    settings = config.fit[family]
    with pytest.raises(ValueError, match=rf"fit\.{family}: expected .*got none|got None"):
        settings.fit(population, Context(config.grid.voxels(), family, config.seed))


def test_a_package_brings_a_family(tmp_path):
    """The family of docs/own_family.md is configurable, and its file determines its identity."""
    install(ROOT / "docs" / "own_family.md", tmp_path)
    raw = yaml.safe_load((ROOT / "tests" / "end_to_end" / "tiny.yaml").read_text())
    raw["fit"]["halfway"] = {"kind": "halfway"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(raw))
    code = """
from calvaria.config import load
from calvaria.pipeline.fingerprint import modules
from calvaria.stages import sample
config = load(Path("mine.yaml"))
assert config.fit["halfway"].least == 0.3
found = modules(config, sample.STAGE, "halfway")
assert {"halfway", "calvaria.families.representation"} <= set(found)
assert not {"torch", "scipy", "calvaria.families.representation"} & set(sys.modules)
"""
    paths = [str(tmp_path), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    subprocess.run(
        [sys.executable, "-c", f"import sys\nfrom pathlib import Path\n{code}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=True,
    )
