"""An unexpected skip fails in continuous integration only."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("reason", "variables", "code"),
    [
        ("no browser", {"CI": "true"}, 1),
        ("no real skulls at /data; set CALVARIA_REAL_DATA", {"CI": "true"}, 0),
        ("no browser", {}, 0),
    ],
)
def test_an_unexpected_skip_fails_the_session(tmp_path, reason, variables, code):
    test = f"import pytest\n\ndef test_it():\n    pytest.skip({reason!r})\n\ndef test_other():\n    pass\n"
    (tmp_path / "test_it.py").write_text(test)
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | variables
    command = [sys.executable, "-m", "pytest", "-p", "tests.skips", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert ("Skips that are not in tests/skips.py" in done.stdout) == bool(code)
