"""Names that a shell would execute, and the directory of another run, with a real Snakemake."""

import os
import shutil
import subprocess
from pathlib import Path

import yaml

from calvaria.skull import ACCEPTED
from calvaria.storage.paths import Run
from tests.end_to_end.conftest import command, environment
from tests.faults.conftest import SMALL
from tests.unit.builders import write_nifti
from tests.unit.heads import head

NASTY = (
    "two words",
    'it\'s "quoted"',
    "$(touch pwned) `touch pwned`",
    "; touch pwned; & touch pwned |",
    "line\nbreak",
    "%s ~ * ? [a] \\ é",
    "-rf",
)


def snakemake(where: Path, config: Path, *more: str) -> subprocess.CompletedProcess[str]:
    line = command(where, 2, *more, config=config)
    return subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)


def test_no_string_of_the_config_and_no_file_name_reaches_a_shell(tmp_path):
    folder = tmp_path / "a 'folder'; $(touch pwned)\n \"&\" é"
    folder.mkdir()
    one = head(1, 6.0)
    scan = write_nifti(tmp_path / "scan.nii.gz", one.labels, one.affine)
    for name in NASTY:
        shutil.copy(scan, folder / f"{name}.nii.gz")
    config = yaml.safe_load(SMALL.read_text())
    config["ingest"] = {"sources": {"mine": {"kind": "folder", "path": str(folder)}}, "shard_size": 9}
    (tmp_path / "nasty.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
    done = snakemake(tmp_path, tmp_path / "nasty.yaml", "results/small/ingest/sheet-0.png")
    assert done.returncode == 0, done.stdout + done.stderr
    run = Run(tmp_path / "results" / "small")
    rows = run.ingest.rows()
    assert sorted(row["id"] for row in rows) == sorted(f"mine/{name}" for name in NASTY)
    assert {row["verdict"] for row in rows} == {ACCEPTED}, rows
    assert not list(tmp_path.rglob("pwned"))

    (folder / "-rf.nii.gz").rename(folder / "{shard}.nii.gz")
    refused = snakemake(tmp_path, tmp_path / "nasty.yaml", "--dry-run")
    assert refused.returncode != 0
    assert "{shard}.nii.gz: has a brace in its name" in refused.stdout + refused.stderr


def test_the_directory_of_another_run_is_refused_and_stays_as_it_is(tmp_path):
    """tests/unit/test_another_run.py distinguishes edits from other runs."""
    run = Run(tmp_path / "results" / "small")
    run.root.mkdir(parents=True)
    (run.root / "thesis.tex").write_text("mine")
    refused = snakemake(tmp_path, SMALL, "--dry-run")
    assert refused.returncode != 0
    assert "results/small: has files but no config.yaml" in refused.stdout + refused.stderr

    shutil.copy(SMALL, run.config)
    (run.root / "fit").mkdir()
    other = tmp_path / "other.yaml"
    config = yaml.safe_load(SMALL.read_text())
    config["seed"], config["ingest"]["sources"]["phantom"]["count"] = 12, 7
    other.write_text(yaml.safe_dump(config))
    refused = snakemake(tmp_path, other, "--dry-run")
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0
    for line in ("results/small: holds another run; choose another name", "seed: 11 there, 12", "'count': 6"):
        assert line in said
    assert "Traceback" not in said
    assert sorted(path.name for path in run.root.iterdir()) == ["config.yaml", "fit", "thesis.tex"]
    assert run.config.read_text() == SMALL.read_text()


def test_a_stale_lock_is_told_what_to_do_about(tmp_path):
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text(f"results{os.sep}small{os.sep}people.json\n")
    refused = snakemake(tmp_path, SMALL)
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "--unlock" in said
    assert not (tmp_path / "results").exists()
    unlocked = snakemake(tmp_path, SMALL, "--unlock")
    assert unlocked.returncode == 0, unlocked.stderr
    assert not locks.exists()
