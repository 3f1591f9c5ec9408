"""The manifest detects every change of a file, and states the provenance of a run."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

import calvaria
from calvaria.config import parse
from calvaria.errors import StoreError
from calvaria.pipeline import provenance
from calvaria.pipeline.manifest import digest, sha256
from calvaria.pipeline.plan import jobs
from calvaria.pipeline.stage import Job
from calvaria.pipeline.verify import choose, faults, recompute
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json, write_json
from tests.unit.finished import finished, tiny


@pytest.fixture
def run(tmp_path) -> Run:
    """A run with a manifest of two files."""
    made, _ = finished(tmp_path, tiny())
    (tmp_path / "sub").mkdir()
    for name in ("a", "sub/b"):
        (tmp_path / name).write_text(name)
    listed(made, "a", "sub/b")
    return made


def listed(run: Run, *names: str) -> None:
    """Write a manifest of these files."""
    files = {name: sha256(run.root / name) for name in names}
    write_json(run.manifest, read_json(run.manifest) | {"digest": digest(files), "files": files})


def test_an_untouched_run_is_fine(run):
    assert faults(run) == []


def test_a_changed_a_lost_and_a_forged_file_are_named(run):
    (run.root / "a").write_text("b")
    (run.root / "sub" / "b").unlink()
    found = faults(run)
    assert len(found) == 2
    assert "a: damaged or changed" in found[0]
    assert "sub/b: missing" in found[1]
    manifest = read_json(run.manifest)
    manifest["files"] = {"a": sha256(run.root / "a")}
    write_json(run.manifest, manifest)
    with pytest.raises(StoreError, match="does not match its list"):
        faults(run)


def test_a_config_that_is_not_the_manifests_is_a_fault(run):
    run.config.write_text(run.config.read_text().replace("seed: 7", "seed: 8"))
    (found,) = faults(run)
    assert "config.yaml: not the config of the manifest" in found


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"manifest\.json: no such file"):
        faults(Run(tmp_path))


def test_the_digest_does_not_depend_on_the_order():
    assert digest({"a": "1", "b": "2"}) == digest({"b": "2", "a": "1"}) != digest({"a": "2", "b": "1"})


def test_shards_to_be_made_anew_are_random_and_never_more_than_there_are(run):
    config, all_of_them = choose(STAGES, run, 1000, np.random.default_rng(0))
    assert {job.stage for job in all_of_them} == {stage for stage in STAGES if stage.recomputable}
    assert all_of_them == [job for job in jobs(STAGES, run, config, 8) if job.stage.recomputable]
    some = [choose(STAGES, run, 3, np.random.default_rng(seed))[1] for seed in range(5)]
    assert all(len(chosen) == 3 for chosen in some)
    assert any(chosen != some[0] for chosen in some)


def test_a_shard_made_anew_is_compared_and_the_run_left_alone(tmp_path):
    raw = tiny()
    raw["ingest"] = {"sources": {"phantom": {"kind": "phantom", "count": 1, "spacing_mm": 4.0}}}
    config = parse(raw, "config")
    run, _ = finished(tmp_path / "run", raw)
    job = jobs(STAGES, run, config, 1)[0]
    assert job == Job(STAGES[0], "", 0, job.outputs)
    assert job.name == "ingest/0"
    job.run(run, config)
    store = [run.ingest.path / name for name in ("zarr.json", "labels/zarr.json")]
    listed(run, *(path.relative_to(run.root).as_posix() for path in (*job.outputs, *store)))
    assert recompute(run, config, job) == []

    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()}

    table = run.ingest.table(0)
    table.write_text(table.read_text().replace('"ok"', '"OK"'))
    listed(run, *read_json(run.manifest)["files"])
    before = contents()
    assert recompute(run, config, job) == ["ingest.zarr/rows/0.jsonl"]
    assert contents() == before


def test_code_is_known_by_module_and_by_one_digest():
    code = provenance.code(parse(tiny(), "config"))
    source = Path(calvaria.__file__).parent / "stages" / "split.py"
    assert code["modules"]["calvaria.stages.split"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert "calvaria.stages" in code["modules"]
    assert code["version"] == calvaria.__version__
    assert re.fullmatch("[0-9a-f]{64}", code["source"])


def test_a_recipe_of_ones_own_is_code_too(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    raw = tiny()
    raw["inject"]["recipes"]["mine"] = {"kind": "custom", "function": "mine_alone:ball"}
    digests = []
    for text in ("one = 1\n", "two = 2\n"):
        (tmp_path / "mine_alone.py").write_text(text)
        code = provenance.code(parse(raw, "config"))
        assert code["modules"]["mine_alone"] == hashlib.sha256(text.encode()).hexdigest()
        digests.append(code["source"])
    assert digests[0] != digests[1]


def test_hardware_says_what_arithmetic_hangs_on():
    found = provenance.hardware(parse(tiny(), "config"))
    assert found["machine"]
    assert found["cores"] >= 1
    assert found["threads"] == 1
    assert found["gpu"] is None, "the config asks for the CPU"
