"""Fixtures of the fault tests: a small undisturbed run."""

import shutil
from pathlib import Path

import pytest

from calvaria.storage.paths import Run
from tests.conftest import ROOT
from tests.faults.killing import Starter

SMALL = ROOT / "tests" / "faults" / "small.yaml"


def begun(where: Path) -> Run:
    """Create a run without results."""
    run = Run(where / "results" / "small")
    run.root.mkdir(parents=True)
    shutil.copy(SMALL, run.config)
    return run


@pytest.fixture(scope="session")
def calm(tmp_path_factory) -> tuple[Run, list[float]]:
    """The undisturbed run, and the seconds of its jobs."""
    starter = Starter(begun(tmp_path_factory.mktemp("calm")))
    starter.finish(0)  # also starts the fork server, which would distort the times
    return starter.run, [starter.finish(number) for number in range(len(starter.jobs))]
