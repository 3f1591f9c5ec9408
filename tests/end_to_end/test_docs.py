"""The commands and code of README and docs work on the tiny run, page by page, in reading order."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from calvaria.cli import app
from calvaria.defects import inject_skull
from calvaria.geometry.grid import Grid
from calvaria.storage.store import Store, read_json
from tests.conftest import ROOT
from tests.documents import PAGES, blocks, commands, install
from tests.end_to_end.conftest import environment
from tests.unit.builders import write_nifti, write_nrrd
from tests.unit.heads import head, with_hole
from tests.unit.test_docs import merged

# Commands that are executed. The others train, or use networks that are too large for this test; their
# options are checked in tests/unit/test_docs.py, and their function in separate tests.
RUN = ("ancestry", "diff", "estimate", "export", "extract", "inject", "score", "status", "verify")
NOT_RUN = ("--recompute", "--watch")  # .ci/run recomputes shards; --watch does not end
# Pages whose Python is not run here: napari opens a window and ONNX needs the pretrained model, which
# tests/unit/test_convert.py converts; tests/unit/test_publish.py loads a published run.
OTHER_TESTS = ("interoperability.md", "publishing.md")
ARMS = {"ldm": "all", "geometric+registration+ldm": "all"}  # the tiny run has fewer


def pieces(*pages: str) -> dict:
    """Return the demo's config merged with the config fragments of some pages."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    for block in blocks("yaml", pages=tuple(ROOT / "docs" / page for page in pages)):
        config = merged(config, yaml.safe_load(block.text))
    return config


@pytest.fixture(scope="module")
def place(reference, tmp_path_factory) -> Path:
    """A folder as after the demo: the run, files of the project, a skull, masks, a config."""
    where = tmp_path_factory.mktemp("user")
    (where / "results").mkdir()
    words = " ".join(word for _, command in commands() for word in command)
    for name in set(re.findall(r"\bresults/([\w-]+)", words)):
        (where / "results" / name).symlink_to(reference)
    for name in ("config.yaml", "workflow", "data"):
        (where / name).symlink_to(ROOT / name)
    (where / "mine.yaml").write_text(yaml.safe_dump(pieces("own_defects.md")))
    for block in blocks("python"):
        if block.file and "/" not in block.file:
            (where / block.file).write_text(block.text)
    skull, cut = head(0, 3.0), with_hole(head(0, 3.0), 25.0)
    write_nifti(where / "skull.nii.gz", skull.labels, skull.affine)
    write_nrrd(where / "d.nrrd", cut.labels, skull.affine)
    for name in ("p.nrrd", "r.nrrd"):
        write_nrrd(where / name, skull.labels - cut.labels, skull.affine)
    # Instead of the pretrained model's prediction for the tutorial's test case: the true implant.
    CliRunner().invoke(
        app,
        [
            *f"extract {reference}/inject/test.zarr 0 --view implant --out".split(),
            str(where / "implant.nii.gz"),
        ],
    )
    return where


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_can_be_followed(page, place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(place)
    monkeypatch.setattr(inject_skull, "GRID", Grid((112, 136, 128), 2.0))  # an eighth of the time
    for made in ("cases", "cases-top", "model"):  # created by an earlier page
        shutil.rmtree(made, ignore_errors=True)
    known: dict = {}
    for block in blocks("python", "sh", pages=(page,)):
        if block.language == "python" and not block.file and page.name not in OTHER_TESTS:
            exec(compile(block.text, str(block), "exec"), known)
        for program, *arguments in block.commands() if block.language == "sh" else ():
            if program == "calvaria" and arguments[0] in RUN and not set(arguments) & set(NOT_RUN):
                done = CliRunner().invoke(app, [ARMS.get(word, word) for word in arguments])
                assert done.exit_code == 0, f"{block}: {arguments}: {done.output} {done.exception!r}"


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """The package of docs/own_family.md, installed as by pip into a folder for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("site")
    install(ROOT / "docs" / "own_family.md", folder)
    return folder


def with_package(package: Path, *command: str | Path, where: Path) -> str:
    """Return the output of a command with the package installed."""
    variables = environment()
    paths = [str(package), *filter(None, [variables.get("PYTHONPATH")])]
    done = subprocess.run(
        command,
        cwd=where,
        env={**variables, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def halfway_run(reference, tmp_path_factory) -> Path:
    """The reference run, its config extended by the family of docs/own_family.md."""
    run = tmp_path_factory.mktemp("halfway") / "run"
    shutil.copytree(
        reference, run, ignore=shutil.ignore_patterns("evaluate", "train", "logs", "fit", "sample")
    )
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["fit"]["halfway"] = {"kind": "halfway", "least": 0.4}
    config["screen"]["copy_dice"] = 1.0  # at 7.5 mm all skulls are very similar
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    return run


def test_the_family_of_the_page_makes_skulls(package, halfway_run):
    run = halfway_run
    for stage in ("fit", "sample", "screen"):
        with_package(package, "calvaria", stage, "--run", run, "--family", "halfway", where=run.parent)
    ids = read_json(run / "fit" / "halfway" / "fit.json")["training"]
    store = Store(run / "screen" / "halfway.zarr")
    rows = store.rows()
    assert len(rows) == yaml.safe_load((run / "config.yaml").read_text())["sample"]["count"]
    for row in rows:
        assert len(set(row["parents"])) == 2
        assert set(row["parents"]) <= set(ids)
        assert 0.4 <= row["parameters"]["share"] <= 0.6
        assert store.volume(row).any()


@pytest.mark.parametrize("command", ["estimate", "status"])
def test_the_family_of_the_page_has_a_cost(command, package, halfway_run):
    target = halfway_run / "config.yaml" if command == "estimate" else halfway_run
    assert with_package(package, "calvaria", command, target, where=halfway_run.parent)


def test_a_family_is_unknown_without_its_package(halfway_run):
    done = subprocess.run(
        ["calvaria", "status", halfway_run],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert "halfway" in done.stderr


def test_every_target_of_a_page_is_planned(package, tmp_path):
    """All Snakemake targets of the pages with mine.yaml are planned together."""
    config = pieces("own_family.md", "own_defects.md", "arms.md") | {"name": "mine"}
    del config["split"]["folds"]  # whose runs have other names
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    targets = {
        word for _, words in commands() if "mine.yaml" in words for word in words if "results/" in word
    }
    assert targets
    plan = ["--snakefile", ROOT / "Snakefile", "--configfile", "mine.yaml", "--dry-run", *sorted(targets)]
    output = with_package(package, "snakemake", *plan, where=tmp_path)
    assert all(target in output for target in targets)
