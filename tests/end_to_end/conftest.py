"""Complete runs of the tiny config, started as by a user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TINY = ROOT / "tests" / "end_to_end" / "tiny.yaml"
LIMIT_S = 1800  # only to detect hanging; a loaded machine may be slow


def environment(project: Path = ROOT, **more: str) -> dict[str, str]:
    """Return an environment that prefers the tested installation's commands and a project's sources.

    Bytecode is written even if the caller forbids it, since otherwise every job would compile all modules.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    sources = os.pathsep.join([str(project / "src"), os.environ.get("PYTHONPATH", "")])
    return {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": sources.rstrip(os.pathsep),
        "PYTHONDONTWRITEBYTECODE": "",
        **more,
    }


def command(
    where: Path, cores: int, *more: str, config: Path = TINY, project: Path = ROOT
) -> list[str | Path]:
    """Return the command that executes a run below ``where``."""
    place = ["--snakefile", project / "Snakefile", "--directory", where, "--configfile", config]
    return ["snakemake", *place, "--cores", str(cores), *more]


def finish(where: Path, cores: int, config: Path = TINY, project: Path = ROOT, **variables: str) -> Path:
    """Complete a run and return its directory."""
    done = subprocess.run(
        command(where, cores, config=config, project=project),
        env=environment(project, **variables),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return where / "results" / "tiny"


@pytest.fixture(scope="session")
def reference(tmp_path_factory) -> Path:
    """The tiny run, executed on two cores without disturbance; tests only read it."""
    return finish(tmp_path_factory.mktemp("reference"), 2)
