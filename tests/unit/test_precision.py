"""The precision of a run: chosen once by a timed probe, then kept; results are reproducible in either."""

import numpy as np
import pytest
import torch
import yaml

from calvaria.config import Config, parse
from calvaria.errors import StoreError
from calvaria.families.run_context import draw_skulls, fit_context
from calvaria.plugins.compute import ComputeSettings
from calvaria.plugins.family import Draw, Model, Population
from calvaria.stages.precision import precision
from calvaria.storage.models import save_model
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json, write_json, write_shard
from calvaria.training import precision as probing
from calvaria.training.precision import Speed, autocast, measure, with_precision
from tests.conftest import ROOT
from tests.unit.heads import shells

CPU = torch.device("cpu")
REPEATED = ("vae", "wgan")
NETWORKS = ("vae", "vqvae", "wgan", "introvae", "ldm", "flow")


def config_of(**changes: object) -> Config:
    raw = yaml.safe_load((ROOT / "tests" / "end_to_end" / "tiny.yaml").read_text())
    for name in NETWORKS:
        raw["fit"][name]["optimiser"] |= {"steps": 1, "batch_size": 1}
        raw["fit"][name]["channels"] = [8 for _ in raw["fit"][name]["channels"]]
    return parse(raw | {"precision": "auto"} | changes, "tiny")


@pytest.fixture
def fast(monkeypatch):
    """A processor that multiplies bfloat16 three times as fast."""
    monkeypatch.setattr(probing, "measure", lambda device: Speed(3.0, 1.0))


def test_bfloat16_is_chosen_where_it_is_clearly_faster():
    assert [Speed(gain, 1.0).precision for gain in (0.1, 1.0, 1.1, 1.5)] == [*["float32"] * 3, "bfloat16"]


def test_the_probe_measures_this_machine():
    speed = measure("cpu")
    assert min(speed.float32_s, speed.bfloat16_s) > 0
    assert measure("cpu") is speed, "one process does not change its mind"


def test_the_probe_works_in_inference_mode_and_draws_no_random_numbers():
    before = torch.random.get_rng_state()
    with torch.inference_mode():
        assert measure.__wrapped__("cpu").bfloat16_s > 0
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_run_chooses_once_and_keeps_to_it(tmp_path, fast, monkeypatch):
    run, config = Run(tmp_path), config_of()
    precision(run, config)
    assert read_json(run.precision) == {"cpu": "bfloat16"}
    monkeypatch.setattr(probing, "measure", lambda device: Speed(1.0, 1.0))
    assert with_precision(run, config).precision == "bfloat16"


def test_a_precision_of_the_config_is_not_probed(tmp_path, monkeypatch):
    monkeypatch.setattr(probing, "measure", None)
    run, config = Run(tmp_path), config_of(precision="float32")
    precision(run, config)
    assert read_json(run.precision) == {"cpu": "float32", "cuda": "float32"}
    assert with_precision(run, config) is config


def test_a_run_without_a_choice_says_so(tmp_path):
    with pytest.raises(StoreError, match=r"precision\.json"):
        with_precision(Run(tmp_path), config_of())


def test_a_choice_of_a_machine_without_this_device_is_float32_and_a_warning(tmp_path, caplog):
    run = Run(tmp_path)
    write_json(run.precision, {"cuda": "bfloat16"})
    assert with_precision(run, config_of()).precision == "float32"
    assert "has no choice for cpu" in caplog.text


@pytest.mark.parametrize(("name", "dtype"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
def test_products_have_the_precision_of_the_config(name, dtype):
    with autocast(ComputeSettings(precision=name), CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is dtype


def test_auto_outside_of_a_run_asks_the_probe(fast):
    with autocast(ComputeSettings(), CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.bfloat16


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> dict[str, tuple[Run, Config, dict[str, Model]]]:
    """Every family in bfloat16, two of them twice and in float32; one step, as emulation is slow."""
    made = {}
    for name, precision_ in (("float32", "float32"), ("bfloat16", "bfloat16"), ("again", "bfloat16")):
        families = NETWORKS if name == "bfloat16" else REPEATED
        run, config = Run(tmp_path_factory.mktemp(name)), config_of(precision=precision_)
        population = skulls(config)
        count = len(population)
        write_shard(run.ingest, 0, count, count, config.grid.voxels(), population.masks, [{}] * count)
        models = {}
        for family in families:
            context, _ = fit_context(run, config, family)
            models[family] = config.fit[family].fit(population, context)
            save_model(run.fit(family), models[family])
        made[name] = run, config, models
    return made


def skulls(config: Config) -> Population:
    masks = shells(config.grid.voxels(), (0.9, 1.0, 1.05, 1.1))
    return Population(tuple("abcd"), masks, masks[1:3])


@pytest.mark.parametrize("family", NETWORKS)
def test_a_family_learns_and_draws_in_bfloat16(fitted, family):
    run, config, models = fitted["bfloat16"]
    assert all(np.isfinite(values).all() for values in models[family].tensors.values())
    (drawn,) = draw_skulls(run, config, family, skulls(config), [Draw(2, 0)])
    assert drawn.skull.shape == config.grid.shape


@pytest.mark.parametrize("family", REPEATED)
def test_bfloat16_repeats_its_bits(fitted, family):
    first, again = (fitted[name][2][family].tensors for name in ("bfloat16", "again"))
    assert all(np.array_equal(values, again[name]) for name, values in first.items())
    (one,), (other,) = (
        draw_skulls(run, config, family, skulls(config), [Draw(2, 0)])
        for run, config, _ in (fitted["bfloat16"], fitted["again"])
    )
    assert np.array_equal(one.skull, other.skull)


def test_the_two_precisions_train_different_bits(fitted):
    single, half = (fitted[name][2]["vae"].tensors for name in ("float32", "bfloat16"))
    assert any(not np.array_equal(values, single[name]) for name, values in half.items())


def test_a_checkpoint_is_not_continued_in_another_precision(fitted):
    single, half, again = (fit_context(run, config, "vae")[1].identity for run, config, _ in fitted.values())
    assert single != half == again
