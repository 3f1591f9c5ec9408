"""A SLURM cluster of one node, started for these tests and always stopped afterwards."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

CLUSTER = Path(__file__).with_name("cluster.sh")
ABSENT = 77  # exit status where SLURM is unavailable


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Path]:
    """The log directory of the cluster; dependent tests are skipped where SLURM cannot be started."""
    place = tmp_path_factory.mktemp("cluster")
    try:
        begun = subprocess.run([CLUSTER, "start", place], capture_output=True, text=True, check=False)
        if begun.returncode == ABSENT:
            pytest.skip(f"no SLURM here: {begun.stderr.strip()}")
        assert begun.returncode == 0, begun.stderr
        yield place
    finally:
        subprocess.run([CLUSTER, "stop", place], check=True)
