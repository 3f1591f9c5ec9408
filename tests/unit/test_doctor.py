"""The doctor detects faults, names the remedy, and reports no faults of a sound installation."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from calvaria.cli import app, doctor
from calvaria.cli.doctor import Check


def test_this_environment_passes(tmp_path):
    """The checks are real: two registrations, two training steps, files written and renamed."""
    found = {check.name: check for check in doctor.examine(tmp_path / "results")}
    for name in ("Python", "packages", "writing", "home", "ANTs", "networks"):
        assert found[name].verdict == "ok", found[name]
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"
    assert all(check.remedy for check in found.values() if check.verdict != "ok")


def test_a_python_that_is_too_old(monkeypatch):
    monkeypatch.setattr(doctor.sys, "version_info", (3, 10, 1))
    check = doctor.python()
    assert check.verdict == "error"
    assert "Python 3.11 to 3.13" in check.remedy


def test_versions_other_than_the_pinned_ones(tmp_path):
    pins = tmp_path / "constraints.txt"
    pins.write_text("numpy==0.1\nnot-installed==1.0\n")
    check = doctor.packages(pins)
    assert check.verdict == "warning"
    assert "numpy" in check.details
    assert "pinned 0.1" in check.details
    assert "not-installed" not in check.details, "extras need not be there"


def test_a_package_that_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(
        doctor, "requires", lambda _: ["numpy>=2", "no-such-package[x]>=1", 'dev; extra == "dev"']
    )
    check = doctor.packages(tmp_path / "none")
    assert (check.verdict, check.details) == ("error", "missing: no-such-package")
    assert "pip install" in check.remedy


def test_another_calvaria_on_the_path(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/elsewhere/{name}")
    check = doctor.commands()
    assert check.verdict == "error"
    assert "calvaria is /elsewhere/calvaria" in check.details


def test_threads_that_would_crowd_the_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    check = doctor.threads()
    assert check.verdict == "warning"
    assert "unset OMP_NUM_THREADS" in check.remedy


def test_a_container_with_fewer_cores_than_the_machine(monkeypatch, tmp_path):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    monkeypatch.setattr(doctor, "CGROUP", tmp_path)
    monkeypatch.setattr(doctor, "_affinity", lambda: 8)
    check = doctor.threads()
    assert check.verdict == "warning"
    assert "the container has 1.5" in check.details
    assert "--cores 1;" in check.remedy


@pytest.mark.parametrize(
    ("free", "verdict", "said"),
    [
        (2e9, "error", "end other"),
        (10e9, "warning", "mem_mb=10000"),
        (90e9, "ok", ""),
    ],
)
def test_memory(monkeypatch, tmp_path, free, verdict, said):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=200e9))
    monkeypatch.setattr(doctor, "CGROUP", tmp_path)
    monkeypatch.setattr(doctor, "_affinity", lambda: 16)
    (tmp_path / "memory.max").write_text(f"{int(free + 1e9)}\n")
    (tmp_path / "memory.current").write_text(f"{int(1e9)}\n")
    check = doctor.memory()
    assert check.verdict == verdict
    assert said in check.remedy


def test_a_full_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e9))
    assert doctor.disk(tmp_path).verdict == "warning"


def test_a_place_that_cannot_be_written():
    check = doctor.rights(Path("/proc/calvaria"))
    assert check.verdict == "error"
    assert "/proc" in check.details


def read_only(monkeypatch, *places: Path) -> None:
    """Make these folders read-only by simulation, since permissions do not restrict root."""
    make = tempfile.mkdtemp

    def refuse(suffix=None, prefix=None, dir=None):
        if any(Path(dir).is_relative_to(place) for place in places):
            raise OSError(30, "Read-only file system")
        return make(suffix, prefix, dir)

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)


def test_a_home_that_cannot_be_written(monkeypatch, tmp_path):
    """Snakemake would fail with a traceback without a writable cache; Matplotlib would only be slow."""
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    assert doctor.home().verdict == "ok"
    read_only(monkeypatch, home)
    check = doctor.home()
    assert check.verdict == "error"
    assert f"{home}/.cache: Read-only file system" in check.details
    assert "export XDG_CACHE_HOME=" in check.remedy
    assert "export MPLCONFIGDIR=" in check.remedy
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    check = doctor.home()
    assert check.verdict == "warning"
    assert check.remedy.startswith("export MPLCONFIGDIR=")
    monkeypatch.setenv("MPLCONFIGDIR", str(cache / "matplotlib"))
    assert doctor.home().verdict == "ok"
    assert list(tmp_path.rglob("*")) == [home], "it leaves nothing behind"


def test_a_small_folder_for_temporary_files(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e8))
    check = doctor.temporary()
    assert check.verdict == "warning"
    assert check.remedy.startswith("export TMPDIR=")


def test_registrations_that_do_not_repeat(monkeypatch):
    from calvaria.families.registration import syn

    real, count = syn.register, iter(range(2))
    monkeypatch.setattr(
        syn, "register", lambda *given: [field + 1e-6 * next(count) for field in real(*given)[:1]]
    )
    assert doctor.ants_repeats().verdict == "warning"


@pytest.mark.parametrize(("verdict", "code"), [("ok", 0), ("warning", 0), ("error", 4)])
def test_the_exit_code_is_that_of_failed_checks(monkeypatch, verdict, code):
    monkeypatch.setattr(doctor, "examine", lambda _: iter([Check("disk", verdict, "full", "make room")]))
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == code
    assert "-> make room" in done.output
