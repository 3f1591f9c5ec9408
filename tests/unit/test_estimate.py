"""The estimate of a run covers every stage, scales with the config, and is close to measured times."""

import json
import re
from typing import Any, ClassVar, Literal

import pytest
import yaml
from typer.testing import CliRunner

from calvaria.cli import app
from calvaria.config import Config, parse
from calvaria.families.network_family import NetworkFamily
from calvaria.pipeline.costs import sizes
from calvaria.pipeline.estimate import estimate, skull_sources, text
from calvaria.plugins.costs import FamilyCost, Load, SourceCost
from calvaria.plugins.family import Family, Model
from calvaria.plugins.registry import kinds
from calvaria.plugins.section import Optimiser
from calvaria.plugins.source import Source
from calvaria.sources.folder import FolderSource
from calvaria.sources.phantom import PhantomSource
from calvaria.stages import STAGES
from tests.conftest import ROOT

DEMO, SKULLFIX = ROOT / "config.yaml", ROOT / "workflow" / "presets" / "skullfix.yaml"

TRAINED = {kind: {"optimiser": {"steps": 9}} for kind in ("vae", "vqvae", "introvae", "wgan", "ldm")}
PHANTOM, FOLDER = PhantomSource(kind="phantom"), FolderSource(kind="folder", path=ROOT)

# Mean seconds of a job on one core, from the benchmark files of two runs (benchmarks/estimate.md); jobs of
# less than four seconds are mostly imports. The demo had larger networks and more steps than now; introvae
# and vqvae took twice as long.
DEMO_TOOK = {
    "ingest": 12.7,
    "template": 15.0,
    "register": 29.8,
    "fit": 37.6,
    "sample": 7.3,
    "screen": 6.7,
    "audit": 9.1,
    "train": 42.4,
    "evaluate": 8.2,
    "report": 34.2,
}
SKULLFIX_TOOK = {
    "ingest": 16.2,
    "people": 20.6,
    "template": 133.5,
    "register": 259.7,
    "fit": 348.2,
    "sample": 33.8,
    "screen": 9.5,
    "audit": 20.4,
    "train": 328.3,
    "evaluate": 56.4,
    "report": 47.4,
}


def config_of(path, **changes: Any) -> Config:
    """Load a config file with some values changed; a key is a path such as ``fit.vae.optimiser.steps``."""
    raw = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        *above, last = key.split("__")
        section = raw
        for name in above:
            section = section.setdefault(name, {})
        section[last] = value
    return parse(raw, "test")


@pytest.mark.parametrize(
    ("config", "skulls", "took"),
    [
        (
            config_of(
                DEMO,
                fit__vae__optimiser__steps=100,
                fit__vqvae__optimiser__steps=60,
                fit__wgan__optimiser__steps=150,
                fit__introvae__optimiser__steps=150,
                fit__ldm__optimiser__steps=120,
                train__optimiser__steps=200,
                train__channels=[16, 32, 64],
            ),
            [PHANTOM] * 24,
            DEMO_TOOK,
        ),
        (config_of(SKULLFIX), [FOLDER] * 75, SKULLFIX_TOOK),
    ],
    ids=["demo", "skullfix"],
)
def test_it_is_near_what_was_measured(config, skulls, took):
    found = {row.stage: row for row in estimate(STAGES, config, skulls).stages}
    total, measured = 0.0, 0.0
    for stage, mean in took.items():
        each = found[stage].seconds / found[stage].jobs
        assert mean / 1.6 < each < mean * 1.6, f"{stage}: measured {mean} s a job, estimated {each:.1f} s"
        total += found[stage].seconds
        measured += mean * found[stage].jobs
    assert measured / 1.25 < total < measured * 1.25


def test_every_rule_is_a_stage_that_has_a_cost():
    files = (ROOT / "workflow" / "rules").glob("*.smk")
    rules = {name for path in files for name in re.findall(r"^rule (\w+):", path.read_text(), re.MULTILINE)}
    names = {stage.name for stage in STAGES}
    assert rules - {"audits", "dataset"} == names
    assert {row.stage for row in estimate(STAGES, config_of(SKULLFIX), [FOLDER] * 75).stages} == names


@pytest.mark.parametrize("partners", [None, 3])
def test_registrations_without_a_limit_are_counted(partners):
    """There is one per pair of training skulls, or a number of partners per skull."""
    few, every = (
        config_of(SKULLFIX, fit__registration__pairs=pairs, fit__registration__partners=partners)
        for pairs in (30, None)
    )
    seconds = [
        next(row.seconds for row in estimate(STAGES, config, [FOLDER] * 75).stages if row.stage == "register")
        for config in (few, every)
    ]
    assert seconds[1] > 1.5 * seconds[0]


class Halfway(Family):
    """A family that states no cost, like that of docs/own_family.md."""

    kind: Literal["halfway"] = "halfway"
    builds_template: ClassVar[bool] = True

    def registration_batches(self, skulls):
        return 2

    def fit(self, population, context):
        return Model()

    def sample(self, model, population, draws, context):
        return []


class Flow(NetworkFamily):
    """A network that states no cost."""

    kind: Literal["flow"] = "flow"
    optimiser: Optimiser = Optimiser(steps=100)
    fit = Halfway.fit
    sample = Halfway.sample


class Atlas(Source):
    """A source that states no cost."""

    kind: Literal["atlas"] = "atlas"

    def entries(self, name):
        return []

    def read(self, entry, seed):
        raise AssertionError("an estimate reads nothing")


class MeasuredHalfway(Halfway):
    def estimated_cost(self, load):
        return FamilyCost(fit_s=1e6 + load.training, draw_s=1e3)


class MeasuredAtlas(Atlas):
    def estimated_cost(self):
        return SourceCost(scan_s=1e5)


def with_plugins(config: Config, families: dict[str, Family], source: Source) -> Config:
    ingest = config.ingest.model_copy(update={"sources": {"far": source}})
    return config.model_copy(update={"fit": {**config.fit, **families}, "ingest": ingest})


def test_plugins_without_a_cost_are_counted_as_typical_ones_and_named():
    config = config_of(DEMO)
    known = estimate(STAGES, config, [PHANTOM] * 24)
    found = estimate(
        STAGES, with_plugins(config, {"mine": Halfway(), "net": Flow()}, Atlas()), [Atlas()] * 24
    )
    assert found.seconds > known.seconds
    assert found.unknown == tuple(
        f"unknown cost: {which} has no estimated_cost), counted as that of a typical kind"
        for which in (
            "fit.mine (kind halfway",
            "fit.net (kind flow",
            "ingest.sources.far (kind atlas",
        )
    )
    assert all(line in text(found) for line in found.unknown)
    assert known.unknown == ()


def test_plugins_that_state_their_cost_are_counted_by_it():
    config, source = (
        with_plugins(config_of(DEMO), {"mine": MeasuredHalfway()}, MeasuredAtlas()),
        MeasuredAtlas(),
    )
    found = {row.stage: row for row in estimate(STAGES, config, [source] * 24).stages}
    assert found["fit"].longest_s == 1e6 + sizes(config, [source] * 24).training
    assert found["sample"].longest_s > 1e3 * config.sample.shard_size
    assert found["ingest"].seconds > 24 * 1e5
    assert estimate(STAGES, config, [source] * 24).unknown == ()


GROWS = [
    ("grid__shape", [64, 80, 64]),
    ("sample__count", 200),
    ("inject__per_skull", 3),
    ("inject__per_held_out_skull", 4),
    ("train__seeds", 3),
    ("train__optimiser__steps", 900),
    ("train__channels", [32, 32, 64]),
    ("train__prior", 200),
    ("fit__registration__pairs", 90),
    ("fit__template__iterations", [30, 30, 30]),
    ("fit__template__template_rounds", 4),
    ("fit__vae__optimiser__steps", 700),
    ("fit__vqvae__channels", [128]),
    ("fit__wgan__critic_steps", 4),
    ("fit__introvae__optimiser__batch_size", 8),
    ("fit__ldm__sampling_steps", 50),
    ("fit__more", {"kind": "vae", "optimiser": {"steps": 9, "batch_size": 1, "learning_rate": 1e-3}}),
    ("train__arms__more", {"families": {"real": 1}}),
    ("evaluate__ensemble", True),
]


@pytest.mark.parametrize(("key", "value"), GROWS, ids=[key for key, _ in GROWS])
def test_who_asks_for_more_is_told_more(key, value):
    skulls = [FOLDER] * 75
    less, more = (
        estimate(STAGES, config_of(SKULLFIX), skulls),
        estimate(STAGES, config_of(SKULLFIX, **{key: value}), skulls),
    )
    assert more.seconds > less.seconds
    assert more.bytes >= less.bytes
    for one, other in zip(less.stages, more.stages, strict=True):
        assert other.seconds >= one.seconds, one.stage


def test_more_skulls_take_longer_and_more_cores_less_long():
    few, many = (estimate(STAGES, config_of(SKULLFIX), [FOLDER] * count) for count in (50, 100))
    assert many.seconds > few.seconds
    walls = [few.wall_s(cores) for cores in (1, 2, 16, 1000)]
    assert walls[0] == few.seconds
    assert walls == sorted(walls, reverse=True)
    assert walls[-1] >= max(row.longest_s for row in few.stages), "no job is faster on many cores"


def test_the_source_of_every_skull_is_known():
    assert [source.kind for source in skull_sources(config_of(DEMO))] == ["phantom"] * 24


def test_every_built_in_plugin_states_its_cost():
    for kind, family in kinds("families").items():
        load = Load(config_of(SKULLFIX).grid.voxels(), 60, {"vae": config_of(SKULLFIX).fit["vae"]})
        settings = family.model_validate({"kind": kind, **TRAINED.get(kind, {})})
        assert settings.estimated_cost(load).is_measured, kind
    for kind, source in kinds("sources").items():
        place = {} if kind == "phantom" else {"path": ROOT}
        assert source.model_validate({"kind": kind, **place}).estimated_cost().is_measured, kind


def test_the_command_prints_a_table_or_json():
    call = CliRunner().invoke
    printed = call(app, ["estimate", str(DEMO), "--cores", "4"]).output
    assert "on 1 core\n" in printed
    assert "on 4 cores\n" in printed
    assert "GPUs were not measured" in printed
    stages = json.loads(call(app, ["estimate", str(DEMO), "--json"]).output)["stages"]
    assert sum(row["jobs"] for row in stages) == 79
