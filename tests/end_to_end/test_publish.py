"""A published directory alone can be loaded, checked and cited."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import environment


@pytest.fixture(scope="module")
def moved(tmp_path_factory, reference) -> Path:
    """The tiny run's data set, published by the command and then moved."""
    made, place = tmp_path_factory.mktemp("made") / "set", tmp_path_factory.mktemp("moved") / "a b"
    given = [
        "calvaria",
        "publish",
        reference,
        "--out",
        made,
        "--licence",
        "CC0-1.0",
        "--author",
        "The testers",
    ]
    done = subprocess.run(given, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    shutil.move(made, place)
    return place


def blocks(card: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", card.read_text(encoding="utf-8"), re.DOTALL)


def test_every_example_of_the_card_runs(moved, tmp_path):
    """The first with two spawned workers, the second with zarr and numpy alone."""
    examples = blocks(moved / "README.md", "python")
    assert len(examples) == 2
    assert len(examples[0].strip().splitlines()) <= 10
    for number, example in enumerate(examples):
        script = tmp_path / f"example{number}.py"
        script.write_text(example)
        done = subprocess.run(
            [sys.executable, "-W", "error", script],
            cwd=moved,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        if number == 0:
            assert "torch.Size([2, 1, 24, 32, 24])" in done.stdout
    for command in blocks(moved / "README.md", "sh")[0].strip().splitlines():
        subprocess.run(command, shell=True, cwd=moved, env=environment(), check=True)


def test_a_flipped_byte_is_seen(moved, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(moved, copy)
    shard = next(copy.glob("cases/*.zarr/planes/c/0/0/0/0/0"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    check = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=copy, capture_output=True, check=False).returncode == 1
    done = subprocess.run(
        ["calvaria", "verify", copy], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert shard.name in done.stderr
