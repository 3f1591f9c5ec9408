"""Jobs that run again when a key of the config or a module is edited: those in the tables, and no others.

The tables name the jobs that change directly. Dependent jobs also run again if the files of such a job
change.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from calvaria.config import Config, Section, parse
from calvaria.pipeline import fingerprint as subject
from calvaria.pipeline.fingerprint import identity, modules
from calvaria.pipeline.plan import jobs
from calvaria.pipeline.stage import FAMILY, Job
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from tests.conftest import ROOT

RUN = Run(Path("results") / "run")
SKULLS = 24  # in the sources; determines only the number of jobs


def of(*families: str) -> str:
    """Return the jobs of families that depend on all of the family's settings."""
    return " ".join(f"{stage}/{name}" for name in families for stage in ("fit", "sample", "screen", "audit"))


FAMILIES = "template register fit sample screen audit"
LEARNED = f"{FAMILIES} train evaluate"
SYNTHETIC = "real registration template ssm vae vqvae wgan introvae ldm"
CASES = " ".join(f"inject/{family}" for family in SYNTHETIC.split())

# Jobs by key or section: STAGE for all jobs of a stage, or STAGE/NAME. The report depends on every key.
KEYS = {
    "name": "",
    "seed": f"ingest split inject {LEARNED}",
    "device": f"precision {LEARNED}",
    "threads": f"precision {LEARNED}",
    "precision": f"precision {LEARNED}",
    "processes": LEARNED,
    "loaders": "",
    "checkpoint_s": "",
    "tensorboard": "",
    "grid": f"ingest sheet limits inject {LEARNED}",
    "ingest.sources": "ingest evaluate",
    "ingest.top_margin_mm": "ingest",
    "ingest.strict": "people",
    "ingest.shard_size": "ingest",
    "ingest.accept": "ingest",
    "people": "people",
    "split": "split template register",
    "split.fold": "split",
    "fit.real": of("real"),
    "fit.registration": f"register/registration {of('registration')}",
    "fit.registration.fraction": of("registration"),
    "fit.registration.gates": of("registration"),
    "fit.template": f"template/template register/template {of('template', 'ssm')}",
    "fit.template.fraction": of("template", "ssm"),
    "fit.template.gates": of("template", "ssm"),
    "fit.ssm": of("ssm"),
    "fit.vae": of("vae"),
    "fit.vqvae": of("vqvae", "ldm"),
    "fit.wgan": of("wgan"),
    "fit.introvae": of("introvae"),
    "fit.ldm": of("ldm"),
    "sample.count": f"sample screen {CASES}",
    "sample.shard_size": f"sample screen {CASES}",
    "sample.batch_size": "sample screen",
    "screen": "limits screen",
    "audit": "audit",
    "inject": "inject",
    "inject.per_skull": f"{CASES} train",
    "inject.per_held_out_skull": "inject/validation inject/test",
    "train": "train",
    "train.arms.none": "train/none",
    "train.arms.all": "train/all",
    "train.seeds": "evaluate",
    "train.predicts": "train evaluate",
    "train.patch": "train evaluate",
    "train.channels": "train evaluate",
    "train.mirror": "train evaluate",
    "train.completion": "train evaluate",
    "train.prior": "train",
    "train.deep_supervision": "train evaluate",
    "evaluate": "train evaluate",
    "report": "",
}
# Jobs by module that they run.
EDITS = {
    "families.vae": of("vae"),
    "families.vqvae": of("vqvae", "ldm"),
    "families.registration.syn": f"template register {of('registration', 'template', 'ssm')}",
    "training.loop": f"fit {of('vae', 'vqvae', 'wgan', 'introvae', 'ldm')} train",
    "sources.phantom": "ingest evaluate",
    "sources.phantom.build": "ingest evaluate",
    "sources.bone": "ingest evaluate",
    "defects.recipes.spheres": "inject",
    "defects.recipes.custom": "inject",
    "skull.pose": "ingest",
    "defects.healing": "inject train evaluate",
    "reconstruction.coarse.network": "train evaluate",
    "report.tables": "report",
    "stages.split": "split",
    "storage.cohorts": f"people limits {FAMILIES} inject train evaluate",
    "pipeline.provenance": "report",
    "cli.stages": "",
    "config.train": "",
}


def whole() -> dict[str, Any]:
    """Return a config with every section, and every kind of source, family and recipe."""
    raw: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    for kind in ("folder", "skullfix", "skullbreak", "mug500", "ct"):
        raw["ingest"]["sources"][kind] = {"kind": kind, "path": kind}
    options = {"healed": {}, "field_of_view": {"top_mm": {"mean": 5, "sd": 1}}}
    for kind in ("craniotomy", "cuboid", "ellipsoid", "rounded_box", "spheres"):
        raw["inject"]["recipes"][kind] = {"kind": kind, **options}
    raw["inject"]["recipes"]["custom"] = {"kind": "custom", "function": "json:loads"}
    own = {"probability": 0.5, "flips": ["x"], "rotate_deg": 5, "translate_voxels": 2, "scale": [0.9, 1.1]}
    raw["sample"] = {"count": 20, "shard_size": 32}  # a partial shard, so that the count matters
    raw["train"]["arms"] = {
        "none": {"families": {"real": 1}, "geometric": own | {"crop": 0, "edge_noise": 0}},
        "all": {"families": dict.fromkeys(SYNTHETIC.split(), 1)},
    }
    return raw


CONFIG = parse(whole(), "config")


def planned() -> list[Job]:
    """Return the first job of every stage for every family, cohort or arm."""
    first: dict[tuple[str, str], Job] = {}
    for job in jobs(STAGES, RUN, CONFIG, SKULLS):
        first.setdefault((job.stage.name, job.subject), job)
    return list(first.values())


def about(job: Job) -> str:
    return f"{job.stage.name}/{job.subject}"


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every key of a config whose value is not a section, with its value."""
    if isinstance(node, Section):
        node = {name: getattr(node, name) for name in type(node).model_fields}
    if isinstance(node, Mapping) and node:
        for name, inner in node.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path, node


def replaced(node: Any, path: tuple[str, ...], value: Any) -> Any:
    """Return a copy of a config with another value, which is not validated."""
    if not path:
        return value
    name, *rest = path
    if isinstance(node, Section):
        return node.model_copy(update={name: replaced(getattr(node, name), tuple(rest), value)})
    return {**node, name: replaced(node[name], tuple(rest), value)}


LOOKED_UP = {
    "fit.ldm.autoencoder": "vae",
    "fit.ssm.registration": "registration",
    "train.arms.all.geometric": "mild",
}


def another(key: str, value: Any) -> Any:
    """Return a different value for a key."""
    if key in LOOKED_UP:
        return LOOKED_UP[key]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    return 1 if value is None else [1, *value] if isinstance(value, tuple | list) else {"other": 1}


def entry(key: str) -> str:
    """Return the table entry of a key: its own, or that of the innermost section that contains it."""
    while key not in KEYS:
        assert "." in key, f"{key} has no entry in KEYS"
        key = key.rpartition(".")[0]
    return key


def meant(words: str) -> set[str]:
    """Return the jobs that a table entry names."""
    known = {about(job) for job in planned()}
    found = {
        word: {job for job in known if job == word or job.split("/")[0] == word} for word in words.split()
    }
    assert all(found.values()), f"a line of a table names no job: {found}"
    return set().union(*found.values())


def test_the_config_of_this_test_has_every_section():
    def classes(node: Any) -> Iterator[type]:
        if isinstance(node, Section):
            yield type(node)
            node = {name: getattr(node, name) for name in type(node).model_fields}
        if isinstance(node, Mapping):
            for inner in node.values():
                yield from classes(inner)

    assert {one.__name__ for one in classes(CONFIG)} - {"Config"} == set(Config.model_json_schema()["$defs"])


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # another value may not be a valid one
def test_a_key_changes_only_what_depends_on_it():
    plan = planned()

    def parts(config: Config) -> dict[str, Any]:
        return {about(job): job.stage.reads(config, job.subject, job.number) for job in plan}

    before, seen, wrong = parts(CONFIG), set(), []
    for path, value in leaves(CONFIG):
        key = ".".join(path)
        seen.add(entry(key))
        after = parts(replaced(CONFIG, path, another(key, value)))
        changed = {name for name in before if before[name] != after[name]} - {"report/"}
        if changed != meant(KEYS[entry(key)]):
            wrong.append(f"{key}: {' '.join(sorted(changed ^ meant(KEYS[entry(key)])))}")
        assert before["report/"] != after["report/"]
    assert wrong == []
    assert seen == set(KEYS), "a line of KEYS stands for no key"


def test_what_the_config_says_is_part_of_an_identity():
    job = next(job for job in planned() if job.stage.name == "fit")
    other = CONFIG.model_copy(update={"seed": CONFIG.seed + 1})
    assert identity(CONFIG, job.stage, job.subject) != identity(other, job.stage, job.subject)


def test_no_stage_but_the_report_depends_on_what_only_shows_or_publishes():
    for job in planned():
        names = {name.split(".")[1] for name in modules(CONFIG, job.stage, job.subject) if "." in name}
        shown = set() if job.stage.is_data else {"report"}
        assert names.isdisjoint({"cli", "publishing", "report"} - shown), job.name


@pytest.mark.parametrize("module", EDITS)
def test_editing_a_module_changes_the_stages_that_use_it(module, tmp_path, monkeypatch):
    plan, source = planned(), subject._file
    before = {about(job): identity(CONFIG, job.stage, job.subject) for job in plan}
    original = source(f"calvaria.{module}")
    edited = tmp_path / "edited.py"
    edited.write_text(original.read_text() + "EDITED = 1\n")
    monkeypatch.setattr(subject, "_file", lambda name: edited if source(name) == original else source(name))
    after = {about(job): identity(CONFIG, job.stage, job.subject) for job in plan}
    assert {name for name in before if before[name] != after[name]} == meant(EDITS[module])


def test_prose_and_layout_are_no_part_of_an_identity():
    code = "def area(r):\n    return 3.14 * r**2\n"
    prose = '"""Circles."""\n\ndef area(r):  # mm\n    """Square mm."""\n    return (3.14 *\n        r**2)\n'
    assert subject.syntax(code.encode()) == subject.syntax(prose.encode())


@pytest.mark.parametrize(
    "other",
    [
        "def area(r):\n    return 3.1416 * r**2\n",
        "def area(r):\n    return 3.14 * r**3\n",
        "def area(d):\n    return 3.14 * d**2\n",
        "def area(r):\n    return '3.14' * r**2\n",
        "def area(r):\n    return None\n",
        "def area(r):\n    return\n",
        "def area(*, r):\n    return 3.14 * r**2\n",
    ],
)
def test_every_change_of_code_changes_an_identity(other):
    assert subject.syntax(b"def area(r):\n    return 3.14 * r**2\n") != subject.syntax(other.encode())


def test_the_cost_that_a_plugin_states_is_no_part_of_an_identity():
    """A corrected estimate re-runs no training."""
    plugin = "class Ours(Family):\n    def estimated_cost(self, load):\n        return {cost}\n    x = {x}\n"
    one, other, changed = (plugin.format(cost=cost, x=x).encode() for cost, x in ((1, 1), (2, 1), (1, 2)))
    assert subject.syntax(one) == subject.syntax(other) != subject.syntax(changed)


def test_every_module_survives_a_change_of_its_prose():
    for path in (ROOT / "src").rglob("*.py"):
        tree = ast.parse(path.read_bytes())
        assert subject.syntax(path.read_bytes()) == subject.syntax(ast.unparse(tree).encode()), path


def test_growing_a_store_keeps_its_full_shards():
    raw = whole()
    small, large = ({**raw, "sample": {"count": count, "shard_size": 8}} for count in (20, 36))
    one, other = parse(small, "config"), parse(large, "config")
    sample = next(stage for stage in STAGES if stage.name == "sample")
    same = [identity(one, sample, "vae", k) == identity(other, sample, "vae", k) for k in range(3)]
    assert same == [True, True, False]


@pytest.mark.parametrize(
    ("fresh", "changed"), [(False, "inject"), (True, "inject train")], ids=["stored", "fresh"]
)
def test_editing_a_recipe_of_ones_own_makes_its_defects_anew(fresh, changed, tmp_path, monkeypatch):
    module = tmp_path / "own_defects.py"
    module.write_text("def ball(rng, skull, grid): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    raw = whole()
    raw["inject"]["recipes"]["custom"]["function"] = "own_defects:ball"
    raw["train"]["fresh_defects"] = fresh
    config = parse(raw, "config")
    before = {about(job): identity(config, job.stage, job.subject) for job in planned()}
    module.write_text("def ball(rng, skull, grid): return None\n")
    after = {about(job): identity(config, job.stage, job.subject) for job in planned()}
    assert {name for name in before if before[name] != after[name]} == meant(changed)


def test_every_stage_of_a_family_looks_at_its_module():
    of_families = [stage for stage in STAGES if stage.key == FAMILY]
    assert {stage.name for stage in of_families} == set(FAMILIES.split())
    for stage in of_families:
        assert "calvaria.families.vae" in modules(CONFIG, stage, "vae")
