"""What the tests of faults share: a small run without a disturbance."""

import shutil
from pathlib import Path

import pytest

from calvaria.storage.paths import Run
from tests.conftest import ROOT
from tests.faults.killing import Starter

SMALL = ROOT / "tests" / "faults" / "small.yaml"


def begun(where: Path) -> Run:
    """A run of which nothing is done."""
    run = Run(where / "results" / "small")
    run.root.mkdir(parents=True)
    shutil.copy(SMALL, run.config)
    return run


@pytest.fixture(scope="session")
def calm(tmp_path_factory) -> tuple[Run, list[float]]:
    """The run without a disturbance, and how long its jobs took."""
    starter = Starter(begun(tmp_path_factory.mktemp("calm")))
    starter.finish(0)  # starts the server, too, so that the times are right
    return starter.run, [starter.finish(number) for number in range(len(starter.jobs))]
