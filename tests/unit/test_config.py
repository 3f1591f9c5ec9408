"""An invalid config is rejected with the key, its value and the expected values."""

from pathlib import Path

import pytest
import yaml

from calvaria.cli import reference
from calvaria.config import Config, dump, load, parse
from calvaria.errors import ConfigError
from tests.conftest import ROOT


@pytest.fixture
def raw() -> dict:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("grid", "shape"), [48, 50, 48], r"grid: .*multiples of 8, got \[48, 50, 48\]"),
        (("grid", "spacing"), 1.0, "grid.spacing: unknown key"),
        (("sample", "count"), 0, "sample.count: .*greater than or equal to 1, got 0"),
        (("split", "test"), 0.9, "split.*less than 0.9 of the people"),
        (("fit", "ldm", "autoencoder"), "wgan", "fit.ldm.autoencoder: 'wgan' is not a vae or vqvae"),
        (("fit", "test"), {"kind": "real"}, "fit.test: .* held-out cohort"),
        (("train", "arms", "none", "families"), {"gan": 1}, "families: 'gan' is not a family of fit"),
        (("fit", "vae", "kind"), "vea", "fit.vae"),
        (("name",), "../x", "name: .*got '../x'"),
        (("fit", "registration", "fraction"), [0.9, 0.2], "fraction must satisfy"),
        (("seed",), "abc", "seed: .*got 'abc'"),
        (("fit", "vae", "patch"), 3, r"fit.vae.patch .* must divide grid.shape"),
        (("fit", "vae", "channels"), [32, 60], r"fit.vae.channels: expected multiples of 8, got \[32, 60\]"),
    ],
)
def test_wrong_values(raw, keys, value, message):
    section = raw
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = value
    with pytest.raises(ConfigError, match=message):
        parse(raw, "config")


def test_a_missing_section_is_named(raw):
    del raw["inject"]
    with pytest.raises(ConfigError, match="inject: Field required"):
        parse(raw, "config")


def test_every_fault_is_reported_at_once(raw):
    raw["sample"] = {"count": 0, "size": 3}
    with pytest.raises(ConfigError, match="2 wrong key"):
        parse(raw, "config")


def test_a_config_is_frozen(raw):
    with pytest.raises(ValueError, match="frozen"):
        parse(raw, "config").seed = 3


def test_a_dumped_config_is_the_same_config(raw, tmp_path):
    raw["inject"]["recipes"]["brow"] = {"kind": "spheres", "region": "frontoorbital"}
    config = parse(raw, "config")
    (tmp_path / "config.yaml").write_text(dump(config))
    assert load(tmp_path / "config.yaml") == config


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: no such config file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match=r"bad\.yaml: not valid YAML"):
        load(tmp_path / "bad.yaml")


def test_every_key_is_described():
    schema = Config.model_json_schema()
    for section in [schema, *schema["$defs"].values()]:
        for key, value in section["properties"].items():
            assert value.get("description"), f"{section['title']}.{key} has no description"


@pytest.mark.parametrize(
    ("path", "made"),
    [
        (reference.SCHEMA, reference.schema),
        (reference.PAGE, reference.page),
        (reference.COMMANDS, reference.commands),
        (reference.TABLES_PAGE, reference.tables),
    ],
)
def test_the_reference_is_not_stale(path: Path, made):
    assert (ROOT / path).read_text() == made(), f"{path} is stale: make reference"
