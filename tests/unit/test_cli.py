"""The command line is fast, has complete help, and uses its documented exit codes."""

import shlex
import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from calvaria.cli import app
from calvaria.cli.options import EXIT_CODES
from tests.conftest import ROOT

COMMANDS = get_command(app).commands
HEAVY = ("torch", "numpy", "pydantic", "zarr", "ants", "monai", "snakemake")


def calvaria(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "calvaria.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['calvaria', '--help']\n"
        "from calvaria.cli import main\n"
        "try: main()\n"
        f"finally: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_that_parses(name):
    """The command's own parser accepts each example, so that none becomes outdated."""
    about, _, example = COMMANDS[name].help.partition("Example: ")
    assert about.strip()
    program, command, *arguments = shlex.split(example)
    assert (program, command) == ("calvaria", name)
    COMMANDS[name].make_context(name, arguments)
    assert all(option.help for option in COMMANDS[name].params)


def test_the_exit_codes_are_those_of_the_table():
    assert calvaria("version").returncode == 0
    missing = calvaria("people", "--run", "no/such/run")
    assert missing.returncode == 1
    assert missing.stderr.startswith("calvaria: no/such/run: not a run, no/such/run/config.yaml is missing; ")
    assert missing.stderr.count("\n") == 1
    assert calvaria("people", "--no-such-option").returncode == 2
    assert set(EXIT_CODES) == {0, 1, 2, 3, 4, 130}


def test_colours_are_left_out_where_they_are_not_wanted(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in CliRunner().invoke(app, ["--help"], color=True).output


def test_the_shell_completes_the_names_of_a_run(tmp_path):
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    words = f"calvaria train --run {tmp_path} --arm g"
    environment = {"_CALVARIA_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "5"}
    done = CliRunner().invoke(app, [], env=environment, prog_name="calvaria")
    assert done.output.split() == ["geometric"]
