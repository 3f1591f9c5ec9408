"""Whole runs of the tiny config, as a user starts them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TINY = ROOT / "tests" / "end_to_end" / "tiny.yaml"
LIMIT_S = 1800  # against hanging alone; a loaded machine may take long


def environment(project: Path = ROOT, **more: str) -> dict[str, str]:
    """The environment in which commands of the tested installation, and a project's sources, come first.

    Compiled modules are written even if the caller forbids it, or a hundred jobs would compile them again.
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
    """The command that makes a run below ``where``."""
    place = ["--snakefile", project / "Snakefile", "--directory", where, "--configfile", config]
    return ["snakemake", *place, "--cores", str(cores), *more]


def finish(where: Path, cores: int, config: Path = TINY, project: Path = ROOT, **variables: str) -> Path:
    """Makes a run, or what is missing of it, and says where it lies."""
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
    """The tiny run, made on two cores without a disturbance; tests only read it."""
    return finish(tmp_path_factory.mktemp("reference"), 2)
