"""Changing a section of the config re-runs exactly the stages that depend on it."""

import copy

import pytest
import yaml

from calvaria.config import Config, parse
from calvaria.identity import _closure, identity
from tests.conftest import ROOT

JOBS = {
    "ingest": ("ingest", ""),
    "sheet": ("sheet", ""),
    "people": ("people", ""),
    "split": ("split", ""),
    "limits": ("limits", ""),
    "fit real": ("fit", "real"),
    "template template": ("template", "template"),
    "register template": ("register", "template"),
    "fit registration": ("fit", "registration"),
    "fit template": ("fit", "template"),
    "fit ssm": ("fit", "ssm"),
    "fit vae": ("fit", "vae"),
    "fit wgan": ("fit", "wgan"),
    "fit ldm": ("fit", "ldm"),
    "sample vae": ("sample", "vae"),
    "screen vae": ("screen", "vae"),
    "audit vae": ("audit", "vae"),
    "inject vae": ("inject", "vae"),
    "inject test": ("inject", "test"),
    "train real": ("train", "real"),
    "train all": ("train", "all"),
    "evaluate real": ("evaluate", "real"),
    "report": ("report", ""),
}
TEMPLATE = {"template template", "register template", "fit template", "fit ssm"}
VAE = {"fit vae", "sample vae", "screen vae", "audit vae"}


def loaded() -> dict:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def identities(config: Config) -> dict[str, str]:
    return {job: identity(config, *about) for job, about in JOBS.items()}


@pytest.mark.parametrize(
    ("keys", "value", "changed"),
    [
        (("split", "test"), 0.3, {"split", "template template", "register template"}),
        (("fit", "template", "refine"), 3, TEMPLATE),
        (("fit", "template", "fraction"), [0.5, 1.0], {"fit template", "fit ssm"}),
        (("fit", "template", "gates"), {"similarity": 0.5}, {"fit template", "fit ssm"}),
        (("fit", "ssm", "spread"), 1.2, {"fit ssm"}),
        (("ingest", "top_margin_mm"), 12.0, {"ingest"}),
        (("ingest", "strict"), True, {"people"}),
        (("people",), {"same_mm": 0.3}, {"people"}),
        (("fit", "vae", "kl_weight"), 0.5, VAE),
        (("fit", "vqvae", "commitment"), 0.5, {"fit ldm"}),
        (("audit",), {"neighbours": 3}, {"audit vae"}),
        (("checkpoint_s",), 5, set()),
        (("tensorboard",), True, set()),
        (("loaders",), 3, set()),
        (("train", "completion"), 0, {"train real", "train all", "evaluate real"}),
        (("fit", "wgan", "latent_size"), 32, {"fit wgan"}),
        (("screen",), {"attempts": 3}, {"limits", "screen vae"}),
        (("inject", "per_held_out_skull"), 2, {"inject vae", "inject test"}),
        (("train", "arms", "all", "geometric"), "mild", {"train all"}),
        (("train", "seeds"), 3, {"evaluate real"}),
        (("evaluate",), {"threshold": 0.4}, {"train real", "train all", "evaluate real"}),
        (("report",), {"skulls": 2}, set()),
        (("name",), "other", set()),
    ],
)
def test_a_section_changes_only_what_depends_on_it(keys, value, changed):
    """Directly, that is: what comes after a re-run job is re-run for its new input files."""
    raw = loaded()
    before = identities(parse(copy.deepcopy(raw), "config"))
    section = raw
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = value
    after = identities(parse(raw, "config"))
    assert {job for job in JOBS if before[job] != after[job]} == changed | {"report"}


def test_growing_a_store_keeps_its_full_shards():
    raw = loaded()
    before = parse(copy.deepcopy(raw), "config")
    raw["sample"]["count"] += 5 * raw["sample"]["shard_size"]
    after = parse(raw, "config")
    assert identity(before, "sample", "vae", 0) == identity(after, "sample", "vae", 0)


def test_code_is_followed_through_imports():
    assert "calvaria.families.representation" in _closure("calvaria.families.vae")
    assert "calvaria.families.autoencoding" in _closure("calvaria.families.ldm")
    assert "calvaria.families.vae" not in _closure("calvaria.stages.split")
    assert "calvaria.report.page" not in _closure("calvaria.stages.train")
    for stage in ("split", "register", "template", "inject"):
        assert not {name for name in _closure(f"calvaria.stages.{stage}") if "learning" in name}, stage


def test_changing_a_module_with_a_recipe_of_ones_own_makes_cases_anew(tmp_path, monkeypatch):
    module = tmp_path / "own_defects.py"
    module.write_text("def ball(rng, skull, grid): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    raw = loaded()
    raw["inject"]["recipes"]["mine"] = {"kind": "custom", "function": "own_defects:ball"}
    config = parse(raw, "config")
    before = identities(config)
    module.write_text("def ball(rng, skull, grid): return None\n")
    after = identities(config)
    assert {job for job in JOBS if before[job] != after[job]} == {"inject vae", "inject test"}
