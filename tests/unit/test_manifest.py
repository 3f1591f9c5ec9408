"""The manifest sees every change of a file."""

import pytest

from calvaria.commands.verify import faults
from calvaria.errors import StoreError
from calvaria.manifest import digest, sha256
from calvaria.paths import Run
from calvaria.store import read_json, write_json


@pytest.fixture
def run(tmp_path) -> Run:
    run = Run(tmp_path)
    (tmp_path / "sub").mkdir()
    files = {}
    for name in ("a", "sub/b"):
        (tmp_path / name).write_text(name)
        files[name] = sha256(tmp_path / name)
    write_json(run.manifest, {"digest": digest(files), "files": files})
    return run


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


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"manifest\.json: no such file"):
        faults(Run(tmp_path))


def test_the_digest_does_not_depend_on_the_order():
    assert digest({"a": "1", "b": "2"}) == digest({"b": "2", "a": "1"}) != digest({"a": "2", "b": "1"})
