"""`calvaria reconstruct --out-dir` designs many implants: each as alone, or not at all."""

import csv
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calvaria import cli
from calvaria.cli.options import CHECK_FAILED, NO_DEFECT
from calvaria.errors import InputError
from calvaria.reconstruction.many import record, run
from calvaria.reconstruction.many.record import Settings
from calvaria.reconstruction.many.run import reconstruct_many, summary
from calvaria.reconstruction.many.table import COLUMNS, EXIT_CODES, exit_code
from calvaria.storage.store import read_json
from calvaria.utils.interruption import Interrupted
from calvaria.utils.processes import Crash
from tests.unit.builders import write_nifti, write_series
from tests.unit.heads import moved, turn
from tests.unit.models import contents, intact, operated, remaining

FILES = ("case.json", "checks.json", "implant.nii.gz", "implant.png", "implant.stl")
Results = Callable[[Callable[[Any], Any], Iterable[Any], int], Iterator[tuple[Any, Any]]]


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> Path:
    """A folder with a defective skull, a turned one, an intact one, and a damaged file."""
    folder = tmp_path_factory.mktemp("scans")
    scan = remaining(operated(3.0))
    write_nifti(folder / "first.nii.gz", scan.labels, scan.affine)
    turned = moved(scan, turn(8, -5, 10), (30, -20, 100))
    write_nifti(folder / "turned.nii", turned.labels, turned.affine)
    intact(folder)
    (folder / "damaged.nii").write_text("x")
    return folder


@pytest.fixture(scope="module")
def finished(scans, models, tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The command on the folder, in two processes."""
    out = tmp_path_factory.mktemp("many") / "new" / "out"
    return command(scans, "--out-dir", out, "--model", models["coarse"], "--jobs", 2), out


@pytest.fixture
def here(monkeypatch) -> list[str]:
    """Work in this process, which saves the time of starting others; return the cases that are worked on."""
    cases = []

    def results(work: Callable[[Any], Any], items: Iterable[Any], _: int) -> Iterator[tuple[Any, Any]]:
        for item in items:
            cases.append(item.case)
            yield item, work(item)

    monkeypatch.setattr(run.processes, "results", results)
    return cases


@pytest.fixture
def one(scans, tmp_path) -> Path:
    """A copy of the defective skull."""
    return Path(shutil.copy(scans / "first.nii.gz", tmp_path))


@pytest.fixture
def out(finished, tmp_path) -> Path:
    """A folder with the case of the defective skull."""
    shutil.copytree(finished[1] / "first", tmp_path / "out" / "first")
    return tmp_path / "out"


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "calvaria.cli", "reconstruct", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def table(out: Path) -> dict[str, dict[str, str]]:
    with (out / "cases.csv").open(encoding="utf-8", newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def statuses(out: Path) -> dict[str, str]:
    return {case: row["status"] for case, row in table(out).items()}


# The command


def test_every_scan_has_a_row_and_every_finished_case_its_folder(finished, scans):
    done, out = finished
    assert done.returncode == 1
    assert done.stdout == f"{out / 'cases.csv'}: 4 case(s): 2 done, 1 no defect, 1 error\n"
    rows = table(out)
    assert {case: (row["status"], row["exit_code"]) for case, row in rows.items()} == {
        "bad": ("no defect", "3"),
        "damaged": ("error", "1"),
        "first": ("done", "0"),
        "turned": ("done", "0"),
    }
    assert all(tuple(row) == COLUMNS for row in rows.values())
    assert [Path(row["input"]) for row in rows.values()] == sorted(scans.iterdir())
    assert sorted(contents(out)) == sorted(
        ["bad", "bad/case.json", "cases.csv", *("first", "turned")]
        + [f"{case}/{name}" for case in ("first", "turned") for name in FILES]
    )
    assert all(float(row["seconds"]) >= 0 for row in rows.values())


def test_the_numbers_are_those_of_the_checks(finished):
    _, out = finished
    row, about = table(out)["first"], read_json(out / "first" / "checks.json")
    for column in ("implant_ml", "mesh_ml", "hole_cm2"):
        assert float(row[column]) == about[column]
    for column, check in (("open_cm2", "closes"), ("thickness_mm", "thickness"), ("overlap_ml", "overlap")):
        assert float(row[column]) == pytest.approx(about["checks"][check]["found"], abs=1e-4)
    assert float(row["smallest_gap_mm"]) == pytest.approx(about["checks"]["gap"]["found"], abs=1e-4)
    assert (row["pieces"], row["watertight"], row["insertion"]) == ("1", "True", "1.0")
    assert (row["failed_checks"], row["warnings"], row["message"]) == ("", "", "")


def test_standard_error_has_the_progress_and_what_is_wrong(finished, scans):
    done, out = finished
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("reconstruct: 4/4 cases, ")
    message = table(out)["damaged"]["message"]
    assert message.startswith(f"{scans / 'damaged.nii'}: holds 1 bytes, fewer than a header's")
    assert f"calvaria: {message}" in lines
    assert f"calvaria: {table(out)['bad']['message']}" in lines
    assert any(line.startswith(f"calvaria: {scans / 'turned.nii'}: mask, ") for line in lines)
    assert "Traceback" not in done.stderr


def test_results_do_not_depend_on_the_number_of_processes_and_are_those_of_a_scan_alone(
    finished, scans, models, tmp_path, monkeypatch
):
    _, out = finished
    done = command(scans, "--out-dir", tmp_path / "out", "--model", models["coarse"])
    assert done.returncode == 1
    for case in ("first", "turned"):
        for name in FILES[1:]:
            assert (tmp_path / "out" / case / name).read_bytes() == (out / case / name).read_bytes()
    without = [{**row, "seconds": ""} for row in table(tmp_path / "out").values()]
    assert without == [{**row, "seconds": ""} for row in table(out).values()]
    files = [tmp_path / name for name in ("implant.nii.gz", "implant.stl", "checks.json", "implant.png")]
    options = ("--out", files[0], "--stl", files[1], "--json", files[2], "--picture", files[3])
    alone = command(scans / "first.nii.gz", *options, "--model", models["coarse"])
    assert alone.returncode == 0
    assert json.loads(alone.stdout) == read_json(out / "first" / "checks.json")
    for file in files:
        assert file.read_bytes() == (out / "first" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "expected one of --out FILE and --out-dir DIR; got neither"),
        (("--out", "a.nii", "--out-dir", "b"), "got both"),
        (("b.nii", "--out", "c.nii"), "--out with 2 scans, expected one; use --out-dir DIR"),
        (("--out", "a.nii", "--jobs", "2"), "--jobs with --out; expected --out-dir, or leave it out"),
        (("--out-dir", "b", "--stl", "a.stl"), "--stl with --out-dir; expected --out, or leave it out"),
        (("--out-dir", "b", "--json", "a", "--picture", "a"), "--json --picture with --out-dir"),
    ],
)
def test_options_that_do_not_go_together_are_named(tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["calvaria", "reconstruct", "a.nii.gz", *options])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_exit_code_is_that_of_the_most_serious_result():
    assert (EXIT_CODES["no defect"], EXIT_CODES["failed check"]) == (NO_DEFECT, CHECK_FAILED)
    for found, code in (("error failed no", 1), ("failed no done", 4), ("no done", 3), ("done", 0)):
        names = {"failed": "failed check", "no": "no defect"}
        assert exit_code([{"exit_code": EXIT_CODES[names.get(one, one)]} for one in found.split()]) == code


def test_ctrl_c_leaves_complete_cases_only_and_the_same_command_goes_on(scans, models, tmp_path, here):
    out = tmp_path / "out"
    words = [scans, "--out-dir", out, "--model", models["coarse"], "--jobs", 2]
    process = subprocess.Popen(
        [sys.executable, "-m", "calvaria.cli", "reconstruct", *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while not any(path.name == "case.json" for path in out.rglob("*")) and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all processes
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "of 4 cases are finished; run the same command again to go on" in said.splitlines()[-1]
    rows = statuses(out)
    assert list(rows) == ["bad", "damaged", "first", "turned"]
    assert "pending" in rows.values()
    for path in out.iterdir():
        assert path.name in rows or path.name == "cases.csv"
        assert path.is_file() or (path / "case.json").is_file()
    # The table may not yet have a case whose folder was completed when the work was interrupted.
    finished = [case for case in rows if (out / case / "case.json").is_file()]
    reconstruct_many([scans], out, models["coarse"], Settings())
    assert here == [case for case in rows if case not in finished]
    assert statuses(out) == {"bad": "no defect", "damaged": "error", "first": "done", "turned": "done"}


# Skipped, or done again


def test_a_command_with_nothing_left_to_do_imports_no_torch(scans, out, models):
    code = (
        "import sys; from pathlib import Path\n"
        "from calvaria.reconstruction.many.record import Settings\n"
        "from calvaria.reconstruction.many.run import reconstruct_many\n"
        "rows = reconstruct_many([Path(sys.argv[1])], Path(sys.argv[2]), Path(sys.argv[3]), Settings())\n"
        "print(rows[0]['status'], sorted({'torch', 'skimage', 'matplotlib'} & set(sys.modules)))"
    )
    words = [sys.executable, "-c", code, scans / "first.nii.gz", out, models["coarse"]]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("done []\n", "")


def test_finished_cases_are_skipped_and_errors_are_tried_again(finished, scans, models, tmp_path, here):
    shutil.copytree(finished[1], tmp_path / "out")
    before = contents(tmp_path / "out")
    rows = reconstruct_many([scans], tmp_path / "out", models["coarse"], Settings())
    assert here == ["damaged"]
    assert summary(rows) == "4 case(s): 2 done, 1 no defect, 1 error"
    after = contents(tmp_path / "out")
    assert {**before, "cases.csv": None} == {**after, "cases.csv": None}
    assert {case: row for case, row in table(tmp_path / "out").items() if case != "damaged"} == {
        case: row for case, row in table(finished[1]).items() if case != "damaged"
    }


@pytest.mark.parametrize("what", ["scan", "settings", "model", "version", "code"])
def test_a_case_is_done_again_if_anything_that_affects_it_has_changed(
    one, out, models, tmp_path, here, monkeypatch, caplog, what
):
    """Its folder is deleted first, so that no outdated implant remains if the new one fails."""
    settings, model = Settings(), tmp_path / "model"
    shutil.copytree(models["coarse"], model)
    reconstruct_many([one], out, model, settings)
    assert here == []
    if what == "scan":
        size, status = one.stat().st_size, one.stat()
        one.write_bytes(bytes(size))
        os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif what == "settings":
        settings = replace(settings, gap_mm=40.0)  # leaves nothing of the implant
    elif what == "model":
        (model / "model.json").write_text("{}")
    else:
        monkeypatch.setattr(record, *{"version": ("__version__", "9"), "code": ("code", lambda _: "c")}[what])
    with caplog.at_level(logging.INFO, "calvaria"):
        reconstruct_many([one], out, model, settings)
    assert here == ["first"]
    assert f"{out / 'first'}: deleted, to be designed again; changed: {what}" in caplog.text
    done = what in ("version", "code")
    assert statuses(out) == {"first": "done" if done else "error"}
    assert (out / "first").exists() is done


def test_outdated_cases_are_deleted_before_any_work(one, out, models, monkeypatch):
    def interrupted(*_: object) -> Iterator[Any]:
        raise Interrupted(signal.SIGTERM)
        yield

    monkeypatch.setattr(run.processes, "results", interrupted)
    with pytest.raises(Interrupted, match="0 of 1 cases are finished; run the same command again to go on"):
        reconstruct_many([one], out, models["coarse"], Settings(gap_mm=1.0))
    assert sorted(contents(out)) == ["cases.csv"]
    assert statuses(out) == {"first": "pending"}


def test_a_file_that_was_changed_or_added_is_never_deleted(one, out, models, here):
    (out / "first" / "notes.txt").write_text("mine")
    (out / "first" / ".DS_Store").write_text("of a system")
    reconstruct_many([one], out, models["coarse"], Settings())
    assert statuses(out) == {"first": "done"}
    before = contents(out / "first")
    reconstruct_many([one], out, models["coarse"], Settings(gap_mm=1.0))
    assert "it has other files (notes.txt); move it away" in table(out)["first"]["message"]
    (out / "first" / "notes.txt").unlink()
    (out / "first" / "implant.stl").write_text("edited")
    for settings in (Settings(), Settings(gap_mm=1.0)):
        reconstruct_many([one], out, models["coarse"], settings)
        assert table(out)["first"]["message"].startswith(f"{out / 'first' / 'implant.stl'}: was changed or")
    (out / "first" / "implant.stl").write_bytes(before["implant.stl"] or b"")
    reconstruct_many([one], out, models["coarse"], Settings(gap_mm=1.0))
    assert statuses(out) == {"first": "done"}
    assert sorted(contents(out / "first")) == sorted(FILES)
    assert here == ["first"]


def test_a_folder_of_another_origin_is_left_and_named(one, models, tmp_path, here):
    out = tmp_path / "out"
    record = {"status": "done", "message": "", "seconds": 1, "fingerprint": {}, "files": 1}
    for content in (None, "{}", "[]", "x", json.dumps(record)):
        (out / "first").mkdir(parents=True, exist_ok=True)
        if content is not None:
            (out / "first" / "case.json").write_text(content)
        before = contents(out / "first")
        rows = reconstruct_many([one], out, models["coarse"], Settings())
        assert "has no valid case.json, expected a folder that calvaria" in rows[0]["message"]
        assert contents(out / "first") == before
    shutil.rmtree(out / "first")
    (out / "first").write_text("a file")
    assert (
        "has no valid case.json" in reconstruct_many([one], out, models["coarse"], Settings())[0]["message"]
    )
    assert (out / "first").read_text() == "a file"
    assert here == []


def test_cases_of_other_scans_are_reported(out, models, tmp_path, here, caplog):
    reconstruct_many([tmp_path / "other.nii"], out, models["coarse"], Settings())
    assert statuses(out) == {"other": "error"}
    assert (
        f"{out}: has cases of other scans, which are left as they are and not in cases.csv: first"
        in caplog.text
    )
    assert (out / "first" / "implant.nii.gz").is_file()


# Failures


def test_a_bug_is_reported_with_its_type_and_the_others_are_done(
    scans, one, models, tmp_path, here, monkeypatch, caplog
):
    def outputs(path: Path, *arguments: Any) -> Any:
        if path != one:
            raise ZeroDivisionError("a bug\nof two lines")
        return real(path, *arguments)

    real = run.outputs
    monkeypatch.setattr(run, "outputs", outputs)
    out = tmp_path / "out"
    reconstruct_many([scans / "turned.nii", one], out, models["coarse"], Settings())
    message = f"{scans / 'turned.nii'}: unexpected ZeroDivisionError: a bug"
    assert table(out)["turned"]["message"] == f"{message} of two lines; this is a bug, report it"
    assert message in caplog.text
    assert "Traceback (most recent call last)" in caplog.text
    assert statuses(out) == {"turned": "error", "first": "done"}
    assert not (out / "turned").exists()


def test_a_model_that_changes_during_the_work_is_noticed(one, models, tmp_path, here, monkeypatch):
    def outputs(*arguments: Any) -> Any:
        (tmp_path / "model" / "model.json").write_text("{}")
        return {"passed": True}, []

    monkeypatch.setattr(run, "outputs", outputs)
    shutil.copytree(models["coarse"], tmp_path / "model")
    rows = reconstruct_many([one], tmp_path / "out", tmp_path / "model", Settings())
    assert "model: was changed during the work; run the same command again" in rows[0]["message"]
    assert not (tmp_path / "out" / "first").exists()


def test_a_case_that_disappears_during_the_work_is_an_error(one, models, tmp_path, monkeypatch):
    monkeypatch.setattr(run.processes, "results", lambda _, items, __: ((item, None) for item in items))
    rows = reconstruct_many([one], tmp_path / "out", models["coarse"], Settings())
    assert (
        rows[0]["message"] == f"{tmp_path / 'out' / 'first'}: was moved or deleted during the work; run again"
    )


def test_a_crash_is_an_error_of_its_case(one, models, tmp_path, monkeypatch):
    monkeypatch.setattr(run.processes, "results", lambda _, items, __: ((item, Crash(-9)) for item in items))
    rows = reconstruct_many([one], tmp_path / "out", models["coarse"], Settings())
    assert rows[0]["message"] == (
        f"{one}: its process was ended by SIGKILL; if there was not enough memory, use fewer --jobs"
    )
    assert table(tmp_path / "out")["first"]["seconds"] == ""


def test_a_failed_check_and_warnings_are_in_the_table(models, tmp_path, here, caplog):
    scan = remaining(operated(3.0))
    path = write_nifti(tmp_path / "cut.nii.gz", scan.labels[:, :, :-5], scan.affine)
    out = tmp_path / "out"
    rows = reconstruct_many([path], out, models["coarse"], Settings(least_thickness_mm=30.0))
    assert exit_code(rows) == 4
    row = table(out)["cut"]
    assert (row["status"], row["exit_code"]) == ("failed check", "4")
    assert "thickness" in row["failed_checks"].split("; ")
    assert row["warnings"].startswith("vault cut off: ")
    assert f"{path}: the implant fails: {row['failed_checks']}" in caplog.text


def test_a_full_disk_leaves_no_partial_case(one, models, tmp_path, here, monkeypatch):
    out = tmp_path / "out"

    def full(path: Path, target: Path) -> None:
        if target.parent == out:
            raise OSError(28, "No space left on device")
        return rename(path, target)

    rename = Path.rename
    monkeypatch.setattr(Path, "rename", full)
    rows = reconstruct_many([one], out, models["coarse"], Settings())
    assert rows[0]["message"].startswith(f"--out-dir {out / 'first'}: cannot be written: No space left")
    assert [path.name for path in out.iterdir()] == ["cases.csv"]


@pytest.mark.parametrize(
    ("out", "model", "settings", "words"),
    [
        (
            "file",
            "coarse",
            Settings(),
            "--out-dir .*file: cannot be written: Not a directory; choose another",
        ),
        ("file/out", "coarse", Settings(), "--out-dir .*out: cannot be written: Not a directory"),
        ("out", "none", Settings(), "--model .*none: has no config.yaml; expected a folder that"),
        ("out", "coarse", Settings(threshold_hu=5000.0), "--threshold-hu 5000: .*less than 1500 HU"),
    ],
)
def test_what_concerns_all_scans_is_checked_first(one, models, tmp_path, out, model, settings, words):
    (tmp_path / "file").write_text("x")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=words):
        reconstruct_many([one], tmp_path / out, models.get(model, tmp_path / model), settings)
    assert contents(tmp_path) == before


def test_names_that_are_no_text_are_in_the_table(models, tmp_path, here, capsys, monkeypatch):
    """Nothing is left for the test's report, as pytest-xdist cannot send such names."""
    monkeypatch.setattr(run.logger, "disabled", True)
    name = os.fsdecode(b"\xff.nii")
    (tmp_path / name).write_text("x")
    write_series(tmp_path / 'a b, "c"', np.zeros((3, 3, 5), np.int16))
    reconstruct_many([tmp_path / name, tmp_path / 'a b, "c"'], tmp_path / "out", models["coarse"], Settings())
    capsys.readouterr()
    content = (tmp_path / "out" / "cases.csv").read_bytes()
    assert content.count(b"\n") == 3
    assert content.splitlines()[1].startswith(b"\xff,")
    assert content.splitlines()[2].startswith(b'"a b, ""c""",')
