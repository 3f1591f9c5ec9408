"""Data on disk is never executed: not unpickled, not unpacked, not passed to a shell."""

import ast
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from calvaria.errors import StoreError
from calvaria.plugins.section import Name
from calvaria.storage.store import Store
from tests.conftest import ROOT

SOURCES = [*(ROOT / "src").rglob("*.py"), *(ROOT / "workflow").rglob("*.smk"), ROOT / "Snakefile"]
# Functions that unpickle or execute their input, or extract archives to arbitrary paths.
MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle"}
MODULES |= {"tarfile", "py7zr", "rarfile"}
# Copies the members of an archive itself, to names that it has checked (tests/unit/test_pack.py).
COPIES_MEMBERS = "src/calvaria/storage/pack_file.py"
CALLS = {"torch.load", "torch.jit.load", "np.load", "numpy.load", "np.lib.format.read_array", "yaml.load"}
CALLS |= {"yaml.unsafe_load", "yaml.full_load", "pd.read_pickle", "pandas.read_pickle", "eval", "exec"}
CALLS |= {"os.system", "os.popen", "shutil.unpack_archive", "compile"}
METHODS = {"extract", "extractall"}


def test_the_source_unpickles_unpacks_and_evaluates_nothing():
    found = []
    for path in SOURCES:
        if path.suffix != ".py":
            assert not any(f"import {module}" in path.read_text() for module in MODULES)
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                bad = {name.split(".")[0] for name in names} & MODULES
                bad -= {"tarfile"} if path == ROOT / COPIES_MEMBERS else set()
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                bad = {called} & CALLS or {called.rsplit(".", 1)[-1]} & METHODS
                bad |= {f"{called}({k.arg})" for k in node.keywords if k.arg in ("shell", "allow_pickle")}
            else:
                continue
            found += [f"{path.relative_to(ROOT)}:{node.lineno}: {one}" for one in bad]
    assert found == []


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("exploded"),)  # type: ignore[return-value]


def test_a_store_whose_metadata_asks_for_unpickling_is_refused(tmp_path, monkeypatch):
    """Zarr version 2 has a codec that unpickles; runs read only version 3."""
    monkeypatch.chdir(tmp_path)
    array = tmp_path / "s.zarr" / "labels"
    array.mkdir(parents=True)
    described = {"zarr_format": 2, "shape": [1, 1, 1, 1], "chunks": [1, 1, 1, 1], "dtype": "|O", "order": "C"}
    described |= {"compressor": None, "filters": [{"id": "pickle", "protocol": 5}], "fill_value": None}
    (array / ".zarray").write_text(json.dumps(described))
    (array / "0.0.0.0").write_bytes(pickle.dumps(np.array(Bomb(), object).tolist()))
    for damage in (None, json.dumps(described)):
        if damage is not None:
            (array / "zarr.json").write_text(damage)
        with pytest.raises(StoreError):
            Store(tmp_path / "s.zarr").volume({"index": 0, "sha256": ""})
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    "name",
    ["", "a b", "../up", "a/b", "-rf", ".hidden", "$(id)", "a;b", "a'b", 'a"b', "a\n", "\na", "é", "{a}"],
)
def test_names_that_become_file_names_are_letters_digits_and_little_else(name):
    with pytest.raises(ValidationError):
        TypeAdapter(Name).validate_python(name)


def test_every_name_of_the_config_that_becomes_a_file_name_is_restricted():
    schema = json.loads((ROOT / "workflow" / "schemas" / "config.schema.json").read_text())
    pattern = r"^[A-Za-z0-9][A-Za-z0-9_+-]*$"
    assert schema["properties"]["name"]["pattern"] == pattern
    definitions = schema["$defs"]
    for mapping in (
        schema["properties"]["fit"],
        definitions["Ingest"]["properties"]["sources"],
        definitions["Inject"]["properties"]["recipes"],
        definitions["Train"]["properties"]["arms"],
    ):
        assert list(mapping["patternProperties"]) == [pattern]


def test_what_rules_hand_to_a_shell_is_quoted_or_a_name():
    """Wildcards are names and numbers, see workflow/rules/common.smk; everything else is quoted by :q."""
    import re

    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for field in re.findall(r"\{([a-z]+[.\w]*(?::q)?)\}", path.read_text().split("shell:")[-1]):
            assert field.startswith("wildcards.") or field.endswith(":q"), f"{path.name}: {field}"
