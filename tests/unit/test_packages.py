"""Packages outside the checkout: the source, the recipe and the family of own_source.md, own_defects.md and
own_family.md."""

import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml

from calvaria.storage.store import Store
from tests.conftest import ROOT
from tests.documents import blocks, install
from tests.unit.heads import head

SOURCE, DEFECTS, FAMILY = (
    ROOT / "docs" / name for name in ("own_source.md", "own_defects.md", "own_family.md")
)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder of installed packages, as after pip, with the modules of the three pages."""
    folder = tmp_path_factory.mktemp("site")
    install(FAMILY, folder)
    for block in blocks("python", pages=(SOURCE, DEFECTS)):
        assert block.file is not None
        (folder / block.file).write_text(block.text)
    (project,) = (tomllib.loads(block.text)["project"] for block in blocks("toml", pages=(SOURCE,)))
    groups = project["entry-points"] | {"calvaria.recipes": {"ball": "my_recipes:BallRecipe"}}
    assert 'ball = "my_recipes:BallRecipe"' in DEFECTS.read_text()
    information = folder / "my_skulls-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-skulls\nVersion: 1.0\n")
    lines = []
    for group, points in groups.items():
        lines += [f"[{group}]", *(f"{kind} = {path}" for kind, path in points.items())]
    (information / "entry_points.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """A config whose skulls and defects come from the packages, in a folder with four heads as arrays."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "data" / "arrays").mkdir(parents=True)
    for number in range(4):
        np.save(folder / "data" / "arrays" / f"P{number}_a.npy", head(number, 3.0).labels)
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    (piece,) = (yaml.safe_load(block.text) for block in blocks("yaml", pages=(SOURCE,)))
    raw["ingest"] = {"sources": piece["ingest"]["sources"], "shard_size": 4}
    raw["ingest"]["sources"]["mine"]["spacing_mm"] = 3.0
    raw["inject"]["recipes"] = {"ball": {"kind": "ball", "region": "parietotemporal", "healed": {}}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(raw))
    return folder / "mine.yaml"


def python(site: Path, where: Path, *arguments: str, code: int = 0) -> str:
    """Return the output of a Python process with the packages installed."""
    environment = {
        "PYTHONPATH": f"{site}:{ROOT / 'src'}:{ROOT}",
        "PATH": "/usr/bin:/bin",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, *arguments], cwd=where, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def calvaria(site: Path, config: Path, *arguments: str, code: int = 0) -> str:
    return python(site, config.parent, "-m", "calvaria.cli", *arguments, code=code)


def test_a_source_of_a_package_is_estimated_ingested_and_in_the_status(site, config):
    text = calvaria(site, config, "estimate", "mine.yaml")
    assert "ingest" in text
    run = config.parent / "results" / "demo"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(config.read_text())
    calvaria(site, config, "ingest", "--run", str(run), "--shard", "0")
    rows = Store(run / "ingest.zarr").rows()
    assert [(row["id"], row["person"], row["verdict"]) for row in rows] == [
        (f"mine/P{number}_a", f"mine/P{number}", "ok") for number in range(4)
    ]
    assert "ingest" in calvaria(site, config, "status", str(run))


def test_a_recipe_of_a_package_has_the_options_of_the_built_in_ones(site, config):
    code = (
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from calvaria.config import load\n"
        "from calvaria.defects.injection import inject_defect\n"
        "from calvaria.skull.examine import examine\n"
        "from calvaria.sources import catalogue, read\n"
        "config = load(Path('mine.yaml'))\n"
        "grid = config.grid.voxels()\n"
        "entry = catalogue(config.ingest.sources)[0]\n"
        "skull = examine(read(config.ingest.sources, entry, 0), grid, 10.0).labels\n"
        "case = inject_defect(skull, grid, config.inject, lambda attempt: np.random.default_rng(attempt))\n"
        "assert case.recipe == 'ball' and case.defect.healing is not None\n"
        "print(case.defect.shapes[0].kind)\n"
    )
    assert python(site, config.parent, "-c", code) == "ellipsoid\n"


def test_a_report_of_a_run_with_plugins_names_them(site, config, tmp_path):
    """The run has made-up results, and its source, recipe and family come from the packages."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import yaml\n"
        "from calvaria.config import parse\n"
        "from calvaria.report.page import write_report\n"
        "from calvaria.stages import STAGES\n"
        "from tests.unit.made_up import a_config, write_run\n"
        "raw = a_config().model_dump(mode='json')\n"
        "user = yaml.safe_load(Path('mine.yaml').read_text())\n"
        "raw['ingest']['sources'] = user['ingest']['sources']\n"
        "raw['inject']['recipes'] = user['inject']['recipes']\n"
        "raw['fit']['half'] = {'kind': 'halfway', 'least': 0.4}\n"
        "raw['train']['arms']['mixed']['families'] = {'real': 1, 'half': 1}\n"
        "config = parse(raw, 'mine')\n"
        "run = write_run(Path(sys.argv[1]) / 'run', config)\n"
        "write_report(run, config, [stage.name for stage in STAGES])\n"
    )
    python(site, config.parent, "-c", code, str(tmp_path))
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for kind in ("kind: arrays", "kind: ball", "kind: halfway", ">half<"):
        assert kind in page, kind


def test_a_change_of_a_package_changes_what_depends_on_it(site, config):
    code = (
        "from pathlib import Path\n"
        "from calvaria.config import load\n"
        "from calvaria.pipeline.fingerprint import modules, source_code\n"
        "config = load(Path('mine.yaml'))\n"
        "from calvaria.stages import ingest, inject\n"
        "for stage in (ingest.STAGE, inject.STAGE):\n"
        "    names = modules(config, stage, 'test')\n"
        "    print(stage.name, *[name for name in names if 'my_' in name and source_code(name)])\n"
    )
    assert python(site, config.parent, "-c", code) == "ingest my_skulls\ninject my_recipes\n"


def test_a_wrong_key_of_a_package_is_an_error_of_the_config(site, config):
    raw = yaml.safe_load(config.read_text())
    raw["ingest"]["sources"]["mine"]["spacing_mm"] = 0
    (config.parent / "wrong.yaml").write_text(yaml.safe_dump(raw))
    text = calvaria(site, config, "estimate", "wrong.yaml", code=1)
    assert "ingest.sources.mine.arrays.spacing_mm" in text


def test_a_plugin_that_cannot_be_imported_says_so(config, tmp_path):
    broken = tmp_path / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[calvaria.sources]\nnone = no_such_module:Source\n")
    text = python(
        tmp_path, config.parent, "-m", "calvaria.cli", "estimate", str(ROOT / "config.yaml"), code=1
    )
    assert "no_such_module:Source: cannot import this plugin" in text
    assert "Traceback" not in text
