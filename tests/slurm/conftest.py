"""A SLURM of one node, started for these tests and stopped afterwards, whatever happens."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

CLUSTER = Path(__file__).with_name("cluster.sh")
ABSENT = 77  # its status where SLURM cannot be had


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Path]:
    """The directory of its logs; tests that need it skip, visibly, where SLURM cannot be started."""
    place = tmp_path_factory.mktemp("cluster")
    try:
        begun = subprocess.run([CLUSTER, "start", place], capture_output=True, text=True, check=False)
        if begun.returncode == ABSENT:
            pytest.skip(f"no SLURM here: {begun.stderr.strip()}")
        assert begun.returncode == 0, begun.stderr
        yield place
    finally:
        subprocess.run([CLUSTER, "stop", place], check=True)
