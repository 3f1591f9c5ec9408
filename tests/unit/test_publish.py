"""publish: real skulls are excluded, terms are checked, and the directory is complete or absent."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from calvaria.config import Config, dump, parse
from calvaria.errors import CalvariaError, InputError, StoreError
from calvaria.pipeline.manifest import digest, sha256
from calvaria.pipeline.verify import faults
from calvaria.publishing.publish import publish
from calvaria.publishing.terms import Terms, TermsError
from calvaria.storage.packed import open_store
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json, write_atomically, write_json, write_shard

LICENCE = "CC-BY-NC-SA-4.0"
PLACE = "/home/somebody/secret project"


def terms(licence: str = LICENCE, **sources: str) -> Terms:
    return Terms(
        licence, sources or {"clinic": LICENCE}, ("A. Author", "B. Author"), "A title", "1.0.0", None
    )


def config_of(kinds: tuple[str, ...] = ("real", "vae"), source: str = "folder") -> Config:
    sources = {"folder": {"kind": "folder", "path": PLACE}, "phantom": {"kind": "phantom"}}
    return parse(
        {
            "name": "small",
            "grid": {"shape": [16, 16, 16], "spacing_mm": 12.0},
            "ingest": {"sources": {"clinic": sources[source]}},
            "fit": {
                kind: {"kind": kind, **({} if kind == "real" else {"optimiser": {"steps": 2}})}
                for kind in kinds
            },
            "sample": {"count": 3, "shard_size": 2},
            "inject": {"recipes": {"spheres": {"kind": "spheres"}}},
            "train": {"arms": {"a": {"families": {kinds[0]: 1}}}, "optimiser": {"steps": 2}},
        },
        "test",
    )


def finished(root: Path, config: Config) -> Run:
    """Write the published part of a finished run, with its manifest."""
    run, rng = Run(root), np.random.default_rng(0)
    grid = config.grid.voxels()

    def fill(store, most: int, count: int, size: int, about: dict) -> None:
        for shard in range(-(-count // size)):
            here = min(size, count - shard * size)
            volumes = rng.integers(0, most + 1, (here, *grid.shape), np.uint8)
            write_shard(store, shard, count, size, grid, volumes, [about] * here)

    audit = {
        "samples": 3,
        "held_out": 2,
        "fidelity": dict.fromkeys(("precision", "recall", "coverage", "neighbour_accuracy"), 0.5),
        "memorisation": {"ratio": 0.5, "p_value": 0.01},
        "roughness": {"share": 0.74, "real_share": 0.88},
        "two_sample": None,
        "copies_dropped": 0,
        "rejected": 1,
    }
    row = {"parents": ["clinic/1"], "attempt": 0}
    skull = {**row, "parameters": {}, "fault": None, "rejections": [], "measures": {}, "nearest": {}}
    case = {**row, "person": None, "skull": 0, "recipe": "spheres", "implant_ml": 1.5, "defect": None}
    for family in config.fit:
        fill(run.screen(family), 1, 3, 2, {"family": family, **skull})
        fill(run.inject(family), 2, 3, 2, {"cohort": family, **case})
        write_json(run.audit(family), {"family": family, **audit})
    for cohort in ("validation", "test"):
        fill(run.inject(cohort), 2, 1, 1, {"cohort": cohort, **case})
    files = {
        path.relative_to(root).as_posix(): sha256(path) for path in sorted(root.rglob("*")) if path.is_file()
    }
    made = {
        "code": {"version": "0.1.0", "commit": None, "source": "ab"},
        "versions": {},
        "hardware": {},
        "precision": {},
    }
    stores = {path.relative_to(root).as_posix() for path in root.glob("*/*.zarr")}
    ancestry = {name: {"parents": [["clinic/1"]], "volumes": [0, 0, 0]} for name in stores}
    about = {
        "digest": digest(files),
        "seed": 0,
        "config": config.model_dump(mode="json"),
        "ancestry": ancestry,
    }
    about |= made
    write_json(run.manifest, {**about, "files": files})
    write_atomically(run.config, dump(config))
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return finished(tmp_path_factory.mktemp("run") / "small", config_of())


@pytest.fixture(scope="module")
def out(tmp_path_factory, run) -> Path:
    place = tmp_path_factory.mktemp("published") / "set"
    publish(run, config_of(), place, terms(), real=False)
    return place


def stores(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.glob("*/*.zarr"))


def test_real_skulls_and_their_cases_stay_at_home(out, run):
    assert stores(out) == ["cases/vae.zarr", "skulls/vae.zarr"]
    allowed = {row["sha256"] for store in (run.screen("vae"), run.inject("vae")) for row in store.rows()}
    assert {row["sha256"] for name in stores(out) for row in open_store(out / name).rows()} == allowed
    assert sorted(path.name for path in (out / "audit").iterdir()) == ["vae.json"]
    card = (out / "README.md").read_text()
    assert "| 0.74 (real: 0.88) | – (real: –) |" in card


def test_real_skulls_are_published_on_demand_alone(tmp_path, run):
    publish(run, config_of(), tmp_path / "set", terms(), real=True)
    families = [f"{kind}/{name}.zarr" for kind in ("cases", "skulls") for name in ("real", "vae")]
    assert stores(tmp_path / "set") == sorted([*families, "cases/test.zarr", "cases/validation.zarr"])


def test_phantoms_are_nobodys(tmp_path):
    config = config_of(source="phantom")
    made = finished(tmp_path / "run", config)
    nothing = Terms("CC0-1.0", {}, ("A",), "T", "1", None)
    publish(made, config, tmp_path / "set", nothing, real=False)
    assert "cases/real.zarr" in stores(tmp_path / "set")
    assert "phantoms" in (tmp_path / "set" / "README.md").read_text()


def test_a_run_of_real_families_alone_has_nothing_to_publish(tmp_path):
    config = config_of(("real",))
    with pytest.raises(CalvariaError, match="nothing would be published; pass --real"):
        publish(finished(tmp_path / "run", config), config, tmp_path / "set", terms(), real=False)


def test_volumes_and_rows_are_those_of_the_run(out, run):
    for name, source in (("cases/vae.zarr", run.inject("vae")), ("skulls/vae.zarr", run.screen("vae"))):
        found = open_store(out / name)
        assert found.rows() == source.rows()
        for row in source.rows():
            assert np.array_equal(found.volume(row), source.volume(row))


def test_every_file_can_be_checked(out):
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"], cwd=out, check=True)
    listed = {line.split("  ", 1)[1] for line in (out / "SHA256SUMS").read_text().splitlines()}
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert listed == files - {"SHA256SUMS"}
    documents = {"README.md", "croissant.json", "ro-crate-metadata.json", "manifest.json"}
    manifest = read_json(out / "manifest.json")
    assert manifest["files"].keys() == listed - documents
    assert manifest["digest"] == digest(manifest["files"])
    assert manifest["digest"] in (out / "README.md").read_text()
    assert faults(Run(out)) == []
    assert manifest["ancestry"].keys() == set(stores(out))


def test_no_file_names_a_place_on_this_machine(out):
    for path in out.rglob("*"):
        assert path.is_dir() or PLACE.encode() not in path.read_bytes(), path
    assert "data/clinic" in (out / "config.yaml").read_text()


def test_the_card_says_what_must_be_known(out):
    card = (out / "README.md").read_text()
    assert "pip install calvaria" not in card  # no package index has this name
    assert "pip install PATH_OF_THE_CHECKOUT" in card
    for expected in (
        "not a medical device",
        LICENCE,
        "clinic",
        "A. Author",
        "closer to training skulls",
        "@misc",
    ):
        assert expected in card


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
def test_croissant_is_valid_and_its_records_are_the_rows(out, caplog):
    import mlcroissant as mlc

    found = mlc.Dataset(str(out / "croissant.json"))
    assert not found.metadata.issues.errors
    assert "not standard" not in caplog.text
    records = list(found.records("cases/vae"))
    rows = open_store(out / "cases" / "vae.zarr").rows()
    assert [record["cases/vae/sha256"].decode() for record in records] == [row["sha256"] for row in rows]
    assert records[0]["cases/vae/parents"] == [b"clinic/1"]
    named = {item["@id"] for item in read_json(out / "croissant.json")["distribution"]}
    listed = set((out / "SHA256SUMS").read_text().split()[1::2])
    assert named == listed - {"croissant.json", "ro-crate-metadata.json"}


def test_the_crate_follows_its_specification(out):
    """RO-Crate 1.1 requires a descriptor, a root with mandatory properties, and existing parts."""
    crate = read_json(out / "ro-crate-metadata.json")
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert len(entities) == len(crate["@graph"])
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert descriptor["about"] == {"@id": "./"}
    assert all(root[key] for key in ("name", "description", "datePublished", "license"))
    for part in root["hasPart"]:
        assert (out / part["@id"]).exists(), part
        assert entities[part["@id"]]["@type"] == ("Dataset" if part["@id"].endswith("/") else "File")
    referred = [value["@id"] for entity in crate["@graph"] for value in _references(entity)]
    assert {name for name in referred if not name.startswith("https://w3id.org")} <= entities.keys()


def _references(value):
    if isinstance(value, dict):
        found = [value] if value.keys() == {"@id"} else []
        return found + [one for item in value.values() for one in _references(item)]
    return [one for item in value for one in _references(item)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (terms(other=LICENCE), "--source-licence clinic=SPDX"),
        (terms(clinic=LICENCE, other="MIT"), "reads no such source"),
        (terms("CC-BY-4.0"), "requires the same licence"),
        (terms("CC-BY-4.0", clinic="CC-BY-NC-4.0"), "forbids commercial use"),
        (terms("CC-BY-ND-4.0", clinic="CC-BY-ND-4.0"), "forbids publishing adaptations"),
    ],
)
def test_terms_that_do_not_hold_are_refused(tmp_path, run, given, fault):
    with pytest.raises(TermsError, match=fault):
        publish(run, config_of(), tmp_path / "set", given, real=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("licence", ["CC-BY-NC-4.0", "CC-BY-NC-SA-4.0"])
def test_terms_that_ask_for_more_are_accepted(tmp_path, run, licence):
    publish(run, config_of(), tmp_path / "set", terms(licence, clinic="CC-BY-NC-4.0"), real=False)


def test_a_damaged_run_is_refused_and_nothing_is_left(tmp_path):
    made = finished(tmp_path / "run", config_of())
    shard = made.inject("vae").shard(1)
    content = bytearray(shard.read_bytes())
    content[20] ^= 1
    shard.write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged or changed"):
        publish(made, config_of(), tmp_path / "set", terms(), real=False)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_another_config_is_refused(tmp_path):
    made = finished(tmp_path / "run", config_of())
    write_atomically(made.config, dump(config_of(("vae",))))
    with pytest.raises(StoreError, match="not the config of the manifest"):
        publish(made, config_of(("vae",)), tmp_path / "set", terms(), real=False)


def test_a_failure_on_the_way_leaves_nothing(tmp_path, run, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("calvaria.publishing.publish.card", full)
    with pytest.raises(InputError, match="cannot be written: No space left"):
        publish(run, config_of(), tmp_path / "set", terms(), real=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_left_alone(tmp_path, run):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(InputError, match="exists and is not an empty folder"):
        publish(run, config_of(), tmp_path, terms(), real=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_command_passes_all_on(tmp_path, run):
    from calvaria.cli import app

    given = ["publish", str(run.root), "--out", str(tmp_path / "set"), "--licence", LICENCE, "--author", "A"]
    more = [
        "--source-licence",
        f"clinic={LICENCE}",
        "--title",
        "T",
        "--version",
        "2.0.0",
        "--url",
        "https://x.org",
    ]
    done = CliRunner().invoke(app, [*given, *more], catch_exceptions=False)
    assert done.exit_code == 0
    found = json.loads((tmp_path / "set" / "croissant.json").read_text())
    assert (found["alternateName"], found["version"], found["url"]) == ("T", "2.0.0", "https://x.org")
    assert read_json(tmp_path / "set" / "manifest.json")["digest"] in done.output
    with pytest.raises(CalvariaError, match="expected SOURCE=SPDX"):
        CliRunner().invoke(app, [*given, "--source-licence", "clinic"], catch_exceptions=False)
